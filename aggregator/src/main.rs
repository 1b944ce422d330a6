//! `muster-aggregator`: words → configuration → run → exit code. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use muster_aggregator::cli::Words;
use muster_aggregator::commands;
use muster_proto::errors::chain;

/// Many threads and connections: less fragmentation and contention than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::run(Words::parse()) {
        Ok(code) => code,
        Err(fatal) => {
            eprintln!("muster-aggregator: {}", chain(&fatal));
            fatal.exit_code()
        }
    }
}
