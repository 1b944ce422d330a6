//! `muster-agent`: words → configuration → run → exit code. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use muster_agent::cli::Words;
use muster_agent::commands;
use muster_proto::errors::chain;

fn main() -> ExitCode {
    match commands::run(Words::parse()) {
        Ok(code) => code,
        Err(fatal) => {
            eprintln!("muster-agent: {}", chain(&fatal));
            fatal.exit_code()
        }
    }
}
