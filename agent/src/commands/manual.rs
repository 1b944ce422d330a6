//! `completions` and `man`: generated from the words themselves.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::Outcome;
use crate::cli::Words;
use crate::fatal::Fatal;

pub(super) fn completions(shell: clap_complete::Shell) -> Outcome {
    clap_complete::generate(shell, &mut Words::command(), "muster-agent", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn page() -> Outcome {
    clap_mangen::Man::new(Words::command())
        .render(&mut std::io::stdout())
        .map_err(|source| Fatal::System { what: "print the manual page", source })?;
    Ok(ExitCode::SUCCESS)
}
