//! `muster-agent spool ls|verify|export|repair`: what waits for an aggregator, and whether it is sound.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use muster_program::lane::existing;
use muster_program::listing::{PrintError, print_json, print_line, table};
use muster_proto::frame::{self, Kind};
use muster_proto::lane::Lane;
use muster_proto::log::parse_log;
use muster_proto::state::parse_state;
use muster_spool::tool::{self, Listing, Verified};
use muster_spool::{Entry, SpoolError};
use serde_json::{Value, json};

use super::Outcome;
use crate::cli::SpoolVerb;
use crate::config::Config;
use crate::fatal::Fatal;
use crate::lanes::{LANES, spool_dir};

pub(super) fn run(config: &Config, verb: SpoolVerb) -> Outcome {
    let dir = |lane: Lane| spool_dir(&config.state_dir, lane);
    let chosen = |lane: Option<muster_program::lane::LaneName>| -> Vec<Lane> {
        lane.map_or_else(|| LANES.to_vec(), |lane| vec![lane.into()])
    };
    match verb {
        SpoolVerb::Ls { lane, json } => {
            let listings = each(&chosen(lane), dir, tool::ls)?;
            if json {
                print_json(&listings.iter().map(listing_json).collect::<Vec<_>>())?;
            } else {
                print_line(listing_table(&listings))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        SpoolVerb::Verify { lane, json } => {
            let verified = each(&chosen(lane), dir, tool::verify)?;
            if json {
                print_json(&verified.iter().map(verified_json).collect::<Vec<_>>())?;
            } else {
                verified.iter().flat_map(verified_lines).try_for_each(print_line)?;
            }
            let sound = verified.iter().all(|(_, verified)| verified.is_sound());
            Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        SpoolVerb::Export { lane, from, to, raw } => {
            export(dir(lane.into()), (from.unwrap_or(1), to.unwrap_or(u64::MAX - 1)), raw)
        }
        SpoolVerb::Repair { lane } => repair(dir(lane.into())),
    }
}

fn failed(dir: PathBuf) -> impl FnOnce(SpoolError) -> Fatal {
    move |error| Fatal::SpoolTool { dir, source: Box::new(error) }
}

/// Lanes that were never used have no directory and are left out.
fn each<T>(
    lanes: &[Lane],
    dir: impl Fn(Lane) -> PathBuf,
    look: impl Fn(&std::path::Path) -> Result<T, SpoolError>,
) -> Result<Vec<(Lane, T)>, Fatal> {
    let there = existing(lanes.iter().map(|lane| (*lane, dir(*lane))).collect())
        .map_err(|(dir, source)| Fatal::NoSpool { dir, source })?;
    there.into_iter().map(|(lane, dir)| Ok((lane, look(&dir).map_err(failed(dir))?))).collect()
}

fn listing_json((lane, listing): &(Lane, Listing)) -> Value {
    let segments: Vec<_> = listing
        .segments
        .iter()
        .map(|s| json!({"segment": s.segment, "first_seq": s.first_seq, "last_seq": s.last_seq, "bytes": s.bytes}))
        .collect();
    json!({
        "lane": lane.name(), "stream": stream_text(listing), "first_seq": listing.first_seq,
        "next_seq": listing.next_seq, "segments": segments, "cursors": listing.cursors,
        "notes": listing.notes.len(), "missing": listing.missing, "free_segments": listing.free_segments,
        "quarantined": listing.quarantined, "foreign": listing.foreign, "kept_bytes": listing.kept_bytes(), "disk_bytes": listing.disk_bytes,
    })
}

fn stream_text(listing: &Listing) -> String {
    listing
        .stream
        .map_or_else(String::new, |stream| muster_proto::ids::StreamId(stream).to_string())
}

fn listing_table(listings: &[(Lane, Listing)]) -> impl std::fmt::Display + use<> {
    let mut rows = table(&[
        "lane", "stream", "first", "next", "acked", "segments", "kept", "on disk", "missing",
    ]);
    for (lane, listing) in listings {
        let acked = listing.cursors.iter().find(|(name, _)| name == crate::lanes::UPLINK_CURSOR);
        rows.add_row([
            lane.name().to_owned(),
            stream_text(listing),
            listing.first_seq.to_string(),
            listing.next_seq.to_string(),
            acked.map_or_else(|| "-".to_owned(), |(_, seq)| seq.to_string()),
            listing.segments.len().to_string(),
            format!("{} KiB", listing.kept_bytes() / 1024),
            format!("{} KiB", listing.disk_bytes / 1024),
            listing.missing.len().to_string(),
        ]);
    }
    rows
}

fn verified_json((lane, verified): &(Lane, Verified)) -> Value {
    let damaged: Vec<_> = verified
        .damaged
        .iter()
        .map(|d| json!({"segment": d.segment, "at": d.at, "until": d.until}))
        .collect();
    json!({
        "lane": lane.name(), "sound": verified.is_sound(), "segments": verified.segments,
        "entries": verified.entries, "bytes": verified.bytes, "damaged": damaged,
        "missing": verified.missing, "unreadable": verified.unreadable, "foreign": verified.foreign,
    })
}

fn verified_lines((lane, verified): &(Lane, Verified)) -> Vec<String> {
    let word = if verified.is_sound() { "sound" } else { "DAMAGED" };
    let mut lines = vec![format!(
        "{lane}: {word}, {} frames of {} bytes in {} segments",
        verified.entries, verified.bytes, verified.segments
    )];
    lines.extend(verified.damaged.iter().map(|damaged| {
        let (segment, at, until) = (damaged.segment, damaged.at, damaged.until);
        format!("  segment {segment} is damaged from byte {at} to {until}")
    }));
    let missing = |(from, to): &(u64, u64)| format!("  frames {from} to {to} are missing");
    lines.extend(verified.missing.iter().map(missing));
    lines
}

fn export(dir: PathBuf, (from, to): (u64, u64), raw: bool) -> Outcome {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    let mut take = |entry: Entry| {
        written = if raw { out.write_all(&entry.bytes) } else { print_frame(&entry, &mut out) };
        if written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let exported = tool::export(&dir, from, to, &mut take).map_err(failed(dir))?;
    match written.and_then(|()| out.flush()) {
        // A reader that went away (head, less) ends the export quietly.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Fatal::Print(PrintError(error)));
        }
        _ => {}
    }
    eprintln!("{} frames, {} missing", exported.entries, exported.missing);
    Ok(if exported.missing == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn print_frame(entry: &Entry, out: &mut impl Write) -> std::io::Result<()> {
    let mut raw = Vec::new();
    let opened = frame::open(&entry.bytes)
        .and_then(|(header, body)| frame::inflate(&header, body, &mut raw).map(|()| header));
    let header = match opened {
        Ok(header) => header,
        Err(error) => return writeln!(out, "# frame {}: {error}", entry.seq),
    };
    writeln!(out, "# frame {} {:?} {} records", entry.seq, header.kind, header.records)?;
    match header.kind {
        Kind::Log => match parse_log(header.first_at, &raw) {
            Ok(log) => log.lines().try_for_each(|line| {
                out.write_all(line.text)?;
                out.write_all(b"\n")
            }),
            Err(error) => writeln!(out, "# {error}"),
        },
        Kind::State => match parse_state(&raw) {
            Ok(batch) => batch.records.iter().try_for_each(|record| writeln!(out, "{record:?}")),
            Err(error) => writeln!(out, "# {error}"),
        },
        Kind::Metric | Kind::Dict | Kind::Bulk => Ok(()),
    }
}

fn repair(dir: PathBuf) -> Outcome {
    let repaired = tool::repair(&dir).map_err(failed(dir))?;
    let lost = |verified: &Verified| -> u64 {
        verified.missing.iter().map(|(from, to)| to - from + 1).sum()
    };
    print_line(format_args!(
        "{} segments rewritten, {} put aside; {} good frames kept, {} lost",
        repaired.rewritten.len(),
        repaired.put_aside.len(),
        repaired.after.entries,
        lost(&repaired.after),
    ))?;
    Ok(ExitCode::SUCCESS)
}
