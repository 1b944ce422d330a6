//! `completions` and `man`: generated from the words themselves.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory as _;
use muster_program::listing::print;
use muster_program::manual::{self, Manual};

use super::Outcome;
use crate::cli::{ENVIRONMENT, EXIT_CODES, FILES, Words};
use crate::fatal::Fatal;

pub(super) fn completions(shell: clap_complete::Shell) -> Outcome {
    print(manual::completions(shell, Words::command()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn page() -> Outcome {
    print(own_page().map_err(failed)?)?;
    Ok(ExitCode::SUCCESS)
}

fn failed(source: io::Error) -> Fatal {
    Fatal::System { what: "write the manual page", source }
}

/// muster-aggregator(1).
fn own_page() -> io::Result<Vec<u8>> {
    let checks = crate::checks::manual();
    let manual = Manual {
        command: Words::command(),
        more: &[("CHECKS", &checks)],
        exit_codes: EXIT_CODES,
        environment: ENVIRONMENT,
        files: FILES,
        see_also: &[("muster-agent", 1), ("musterctl", 1)],
    };
    manual.page()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `MUSTER_BLESS=1 cargo test -p muster-aggregator manual` writes the page anew.
    #[test]
    fn the_committed_page_is_the_generated_one() {
        let man = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man");
        let page = super::own_page().unwrap();
        muster_program::manual::assert_committed(&man.join("muster-aggregator.1"), &page);
    }
}
