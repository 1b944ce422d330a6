//! `completions` and `man`: generated from the words themselves.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory as _;
use muster_program::listing::print;
use muster_program::manual::{self, Manual};

use super::{Outcome, check_page};
use crate::cli::{ENVIRONMENT, EXIT_CODES, FILES, Words};
use crate::fatal::Fatal;

pub(super) fn completions(shell: clap_complete::Shell) -> Outcome {
    print(manual::completions(shell, Words::command()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn page(checks: bool) -> Outcome {
    let page = if checks { check_page() } else { own_page() };
    print(page.map_err(failed)?)?;
    Ok(ExitCode::SUCCESS)
}

fn failed(source: io::Error) -> Fatal {
    Fatal::System { what: "write the manual page", source }
}

/// muster-agent(1).
fn own_page() -> io::Result<Vec<u8>> {
    let manual = Manual {
        command: Words::command(),
        more: &[],
        exit_codes: EXIT_CODES,
        environment: ENVIRONMENT,
        files: FILES,
        see_also: &[("muster-checks", 7), ("muster-aggregator", 1), ("musterctl", 1)],
    };
    manual.page()
}

/// muster-checks(7).
fn check_page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    check_page::write_page(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `MUSTER_BLESS=1 cargo test -p muster-agent manual` writes the pages anew.
    #[test]
    fn the_committed_pages_are_the_generated_ones() {
        let man = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man");
        let pages =
            [("muster-agent.1", super::own_page()), ("muster-checks.7", super::check_page())];
        for (name, page) in pages {
            muster_program::manual::assert_committed(&man.join(name), &page.unwrap());
        }
    }
}
