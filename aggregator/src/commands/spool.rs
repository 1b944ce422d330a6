//! `muster-aggregator spool ls|verify|repair`: what waits for a store, and whether it is sound.

use std::path::PathBuf;
use std::process::ExitCode;

use muster_program::lane::existing;
use muster_program::listing::{print_json, print_line, table};
use muster_proto::lane::Lane;
use muster_spool::{SpoolError, tool};
use serde_json::json;

use super::Outcome;
use crate::cli::SpoolVerb;
use crate::config::Config;
use crate::fatal::Fatal;
use crate::inbox::{LANES, spool_dir};

pub(super) fn run(config: &Config, verb: SpoolVerb) -> Outcome {
    let dirs: Vec<(Lane, PathBuf)> =
        LANES.iter().map(|lane| (*lane, spool_dir(&config.state_dir, *lane))).collect();
    let there = || existing(dirs).map_err(|(dir, source)| Fatal::NoSpool { dir, source });
    match verb {
        SpoolVerb::Ls { json } => ls(&there()?, json),
        SpoolVerb::Verify { json } => verify(&there()?, json),
        SpoolVerb::Repair { lane } => {
            let dir = spool_dir(&config.state_dir, lane.into());
            let repaired = tool::repair(&dir).map_err(failed(&dir))?;
            let kept = repaired.after.entries;
            let rewritten = repaired.rewritten.len();
            print_line(format_args!("{rewritten} segments rewritten; {kept} good frames kept"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn failed(dir: &std::path::Path) -> impl FnOnce(SpoolError) -> Fatal {
    let dir = dir.to_owned();
    move |error| Fatal::SpoolTool { dir, source: Box::new(error) }
}

fn ls(dirs: &[(Lane, PathBuf)], json: bool) -> Outcome {
    let mut documents = Vec::new();
    let mut rows = table(&["lane", "first", "next", "followers", "segments", "kept", "on disk"]);
    for (lane, dir) in dirs {
        let listing = tool::ls(dir).map_err(failed(dir))?;
        let cursors: Vec<String> =
            listing.cursors.iter().map(|(name, seq)| format!("{name}={seq}")).collect();
        rows.add_row([
            lane.name(),
            &listing.first_seq.to_string(),
            &listing.next_seq.to_string(),
            &cursors.join(" "),
            &listing.segments.len().to_string(),
            &format!("{} KiB", listing.kept_bytes() / 1024),
            &format!("{} KiB", listing.disk_bytes / 1024),
        ]);
        documents.push(json!({
            "lane": lane.name(), "first_seq": listing.first_seq, "next_seq": listing.next_seq,
            "cursors": listing.cursors, "segments": listing.segments.len(), "kept_bytes": listing.kept_bytes(), "disk_bytes": listing.disk_bytes,
            "missing": listing.missing,
        }));
    }
    if json {
        print_json(&documents)?;
    } else {
        print_line(rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(dirs: &[(Lane, PathBuf)], json: bool) -> Outcome {
    let mut documents = Vec::new();
    let mut sound = true;
    for (lane, dir) in dirs {
        let verified = tool::verify(dir).map_err(failed(dir))?;
        sound &= verified.is_sound();
        if !json {
            let word = if verified.is_sound() { "sound" } else { "DAMAGED" };
            let (entries, bytes) = (verified.entries, verified.bytes);
            print_line(format_args!("{lane}: {word}, {entries} frames of {bytes} bytes"))?;
        }
        documents.push(json!({
            "lane": lane.name(), "sound": verified.is_sound(), "entries": verified.entries,
            "bytes": verified.bytes, "missing": verified.missing,
        }));
    }
    if json {
        print_json(&documents)?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
