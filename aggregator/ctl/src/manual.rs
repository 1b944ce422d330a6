//! Completions and the manual page, from the words.

use std::io::{self, Write};

use clap::CommandFactory as _;
use clap_complete::Shell;
use muster_program::manual::{self, Manual};

use crate::ending::{Ending, Fatal};
use crate::words::{ENVIRONMENT, EXIT_CODES, FILES, Words};

pub(crate) fn write_completions(shell: Shell, out: &mut dyn Write) -> Result<Ending, Fatal> {
    out.write_all(&manual::completions(shell, Words::command()))?;
    Ok(Ending::Fine)
}

pub(crate) fn write_man(out: &mut dyn Write) -> Result<Ending, Fatal> {
    out.write_all(&page()?)?;
    Ok(Ending::Fine)
}

/// musterctl(1).
fn page() -> io::Result<Vec<u8>> {
    let manual = Manual {
        command: Words::command(),
        more: &[],
        exit_codes: EXIT_CODES,
        environment: ENVIRONMENT,
        files: FILES,
        see_also: &[("muster-agent", 1), ("muster-aggregator", 1), ("muster-checks", 7)],
    };
    manual.page()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `MUSTER_BLESS=1 cargo test -p musterctl manual` writes the page anew.
    #[test]
    fn the_committed_page_is_the_generated_one() {
        let man = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/man");
        let page = super::page().unwrap();
        muster_program::manual::assert_committed(&man.join("musterctl.1"), &page);
    }
}
