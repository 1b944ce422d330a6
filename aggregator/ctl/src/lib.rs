//! The admin's command: asks any aggregator about the whole fleet.
//!
//! Room: `musterctl`.  May use: `proto`, `policy`, the HTTP API.  Used by: admins and their scripts.
//!
//! Invariants
//! - Data goes to stdout, everything else to stderr. `--json` prints what the aggregator said, field by field.
//! - What a host wrote never reaches the terminal as control characters.
//! - The exit code says what happened ([`ending`]); a closed pipe is a normal end.
//!
//! Absent on purpose: state. Everything is asked anew; only the config file is read.

#![forbid(unsafe_code)]

pub mod client;
pub mod ending;
mod follow;
mod incidents;
mod listings;
mod logs;
mod manual;
mod metrics;
mod moment;
mod paper;
pub mod settings;
pub mod words;

use std::io::Write;

use jiff::Zoned;

use client::Client;
use ending::{Ending, Fatal};
use paper::Paper;
use settings::{Settings, Surroundings};
use words::{Verb, Words};

/// Does what the words say. Only `main` knows the real stdout and the environment.
///
/// # Errors
/// [`Fatal`]; its code is the exit code.
pub async fn run(
    words: Words,
    around: &Surroundings,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Ending, Fatal> {
    match &words.verb {
        Verb::Completions { shell } => return manual::write_completions(*shell, out),
        Verb::Man => return manual::write_man(out),
        _ => {}
    }
    let settings = Settings::read(&words, around)?;
    let client = Client::build(&settings)?;
    let mut paper = Paper {
        out,
        err,
        json: words.json,
        color: settings.color,
        width: around.width,
        zone: around.zone.clone(),
    };
    let now = Zoned::new((around.clock)(), around.zone.clone());
    match words.verb {
        Verb::Status => listings::status(&client, &mut paper).await,
        Verb::Hosts { selector } => listings::hosts(&client, &selector, &mut paper).await,
        Verb::Host { name } => listings::host(&client, &name, &mut paper).await,
        Verb::Checks(checks) => listings::checks(&client, &checks, &mut paper).await,
        Verb::Incidents(words) => incidents::incidents(&client, &words, &mut paper).await,
        Verb::Logs(logs) if logs.follow => follow::logs(&client, &logs, &now, &mut paper).await,
        Verb::Logs(logs) => logs::logs(&client, &logs, &now, &mut paper).await,
        Verb::Metrics(metrics) => metrics::metrics(&client, &metrics, &now, &mut paper).await,
        Verb::Completions { .. } | Verb::Man => Ok(Ending::Fine),
    }
}
