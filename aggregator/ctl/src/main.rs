//! The program: reads the words, runs, turns the result into an exit code.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use musterctl::ending::{Ending, Fatal, chain};
use musterctl::settings::Surroundings;
use musterctl::words::Words;

fn main() -> ExitCode {
    // clap ends with 2 on wrong usage, 0 on --help.
    let words = Words::parse();
    let around = Surroundings::of_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (mut out, mut err) = (io::BufWriter::new(io::stdout().lock()), io::stderr());
    let ending = match runtime {
        Ok(runtime) => runtime.block_on(musterctl::run(words, &around, &mut out, &mut err)),
        Err(source) => Err(Fatal::Ours { what: "start", source: source.into() }),
    };
    let ending = out.flush().map_err(Fatal::from).and(ending);
    if let Err(fatal) = &ending
        && !fatal.is_broken_pipe()
    {
        let red = if io::stderr().is_terminal() && !around.no_color {
            ("\u{1b}[31m", "\u{1b}[0m")
        } else {
            ("", "")
        };
        let _ = writeln!(err, "{}musterctl:{} {}", red.0, red.1, chain(fatal));
    }
    match ending {
        Ok(Ending::Fine) => ExitCode::SUCCESS,
        Ok(Ending::Partial) => ExitCode::from(5),
        Err(fatal) => ExitCode::from(fatal.code()),
    }
}
