//! `make bench`: speed and size beside rsyslog and node_exporter, measured in the same run.
//!
//! `bench [logs|idle|wire|fleet …] [--json] [--megabytes N] [--rounds N] [--seconds N] [--agents N]`. Progress goes to
//! standard error, the table (or JSON) to standard output. Missed goals are shown, not failed:
//! another machine has other numbers.

use std::process::ExitCode;
use std::time::Duration;

use muster_tests::bench::{Extent, Row, fleet, idle, json, logs, table, wire};

/// What was asked for.
struct Words {
    parts: Vec<String>,
    json: bool,
    extent: Extent,
}

fn main() -> ExitCode {
    let words = match parse(std::env::args().skip(1)) {
        Ok(words) => words,
        Err(why) => {
            eprintln!("bench: {why}");
            eprintln!(
                "usage: bench [logs|idle|wire|fleet …] [--json] [--megabytes N] [--rounds N] [--seconds N] [--agents N]"
            );
            return ExitCode::from(2);
        }
    };
    let rows = run(&words);
    if !words.json {
        println!("{}", table(&rows));
        return ExitCode::SUCCESS;
    }
    match json(&rows) {
        Ok(text) => println!("{text}"),
        Err(error) => {
            eprintln!("bench: {error}");
            return ExitCode::from(70);
        }
    }
    ExitCode::SUCCESS
}

fn run(words: &Words) -> Vec<Row> {
    let wants = |part: &str| words.parts.is_empty() || words.parts.iter().any(|word| word == part);
    let mut rows = Vec::new();
    if wants("logs") {
        rows.extend(logs(&words.extent));
    }
    if wants("idle") {
        rows.extend(idle(&words.extent));
    }
    if wants("wire") {
        rows.extend(wire(&words.extent));
    }
    if wants("fleet") {
        rows.extend(fleet(&words.extent));
    }
    rows
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Words, String> {
    let mut words = Words { parts: Vec::new(), json: false, extent: Extent::default() };
    while let Some(word) = args.next() {
        let mut number = || {
            let text = args.next().ok_or(format!("{word} wants a number"))?;
            text.parse::<u64>().map_err(|_| format!("{word}: not a number: {text}"))
        };
        match word.as_str() {
            "logs" | "idle" | "wire" | "fleet" => words.parts.push(word),
            "--json" => words.json = true,
            "--megabytes" => words.extent.log_bytes = number()?.max(1) * 1024 * 1024,
            "--rounds" => words.extent.rounds = number()?.clamp(1, 100) as usize,
            "--agents" => {
                words.extent.idle_agents = number()?.clamp(2, 20_000) as usize;
                words.extent.crowd = words.extent.idle_agents / 2;
            }
            "--seconds" => words.extent.idle = Duration::from_secs(number()?.max(1)),
            _ => return Err(format!("no such part or option: {word}")),
        }
    }
    words.extent.disk_queue_bytes = words.extent.disk_queue_bytes.min(words.extent.log_bytes);
    Ok(words)
}
