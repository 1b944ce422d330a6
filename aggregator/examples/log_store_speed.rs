//! How fast the log store takes, seals and searches, and how small its files are.
//!
//! `cargo run --release -p muster-aggregator --example log_store_speed [LINES]`
//!
//! Half of the lines are alike, half carry random ids, about 150 bytes each, 200 hosts, 20 programs.
//! CPU time is the process's own (getrusage(2)); nothing is asserted.

use std::ops::ControlFlow;

use muster_aggregator::stores::HostTag;
use muster_aggregator::stores::logs::{Budget, LogQuery, LogSettings, LogStore};
use muster_proto::clock::Utc;
use muster_proto::frame::Sealer;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_proto::log::{LogBlock, LogSource, Severity, SourceKind};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

const DAY_START: i64 = 1_795_219_200_000_000;
const FRAME_LINES: u64 = 1_000;

type Failure = Box<dyn std::error::Error>;

fn cpu_s() -> Result<f64, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(us as f64 / 1e6)
}

fn line(rng: &mut fastrand::Rng, program: u32) -> String {
    let (id, ms, port) = (rng.u64(..), rng.u32(1..5_000), rng.u16(..));
    let user = ["alice", "bob", "carol", "dave"][rng.usize(..4)];
    match rng.u8(..6) {
        0 => format!(
            "Failed password for invalid user {user} from 10.2.{}.7 port {port} ssh2",
            ms % 250
        ),
        1 => format!(
            "10.64.{}.9 - - \"GET /wiki/Special:Random?id={id:016x} HTTP/2.0\" 200 {port} \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0)\" {ms}us",
            ms % 250
        ),
        2 => format!(
            "{{\"level\":\"info\",\"msg\":\"request done\",\"trace\":\"{id:016x}\",\"user\":\"{user}\",\"ms\":{ms},\"path\":\"/api/v1/items\"}}"
        ),
        3 => format!(
            "user={user}{} connection to shard {program} refused, timeout after {ms}ms, attempt {}",
            port % 100,
            ms % 5
        ),
        4 => format!(
            "Started Session {} of User {user}. Reached target basic system, all units of slice {program} are active now.",
            port
        ),
        _ => format!(
            "replication lag of replica {program} is {ms} ms behind the primary, binlog position {id}"
        ),
    }
}

type Frames = Vec<(HostTag, Vec<u8>)>;

/// Frames, and what their lines would take as text.
fn frames(lines: u64) -> Result<(Frames, u64), Failure> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut sealer = Sealer::new()?;
    let mut block = LogBlock::new();
    let (mut frames, mut raw) = (Vec::new(), 0);
    for seq in 1..=lines / FRAME_LINES {
        let host = rng.u32(..200);
        for n in 0..FRAME_LINES {
            let program = rng.u32(..20);
            let source = LogSource {
                kind: SourceKind::Journald,
                name: format!("unit{program}.service"),
                program: format!("program{program}"),
                class: "default".into(),
            };
            let text = line(&mut rng, program);
            // Time and host names count as raw, as in a text file.
            raw += text.len() as u64 + 45;
            let number = block.source(&source);
            let at = DAY_START + (seq * FRAME_LINES + n) as i64 * 15_000;
            block.push(number, Utc(at), (Severity::Info, 0), text.as_bytes());
        }
        let Some(sealed) = block.seal(&mut sealer)? else { continue };
        let header = sealed.header(Lane::Logs, StreamId([host as u8; 16]), Seq(seq));
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(&sealed.body);
        frames.push((HostTag { host: format!("host{host}"), datacenter: "dc".into() }, bytes));
    }
    Ok((frames, raw))
}

fn main() -> Result<(), Failure> {
    let lines = std::env::args().nth(1).map_or(Ok(500_000), |text| text.parse())?;
    let folder =
        std::env::temp_dir().join(format!("muster-log-store-speed-{}", std::process::id()));
    let (frames, raw) = frames(lines)?;
    let store = LogStore::open(&folder, StreamId([1; 16]), LogSettings::default())?;
    let now = Utc(DAY_START);
    let (start, mut seal_s) = (cpu_s()?, 0.0);
    for (n, (tag, frame)) in frames.iter().enumerate() {
        store.take(n as u64 + 1, tag, frame, now)?;
        if store.is_due(now) || n + 1 == frames.len() {
            let before = cpu_s()?;
            store.seal(now)?;
            seal_s += cpu_s()? - before;
        }
    }
    let all_s = cpu_s()? - start;
    let bytes = store.usage()?.file_bytes;
    println!(
        "take and seal: {:.0} k lines per CPU-second (seal {seal_s:.2} s of {all_s:.2} s)",
        lines as f64 / all_s / 1e3
    );
    println!("stored: {:.4} bytes a raw byte ({raw} raw)", bytes as f64 / raw as f64);
    let query = |substring: Option<&str>, regex: Option<&str>, host: Option<&str>| LogQuery {
        substring: substring.map(Into::into),
        regex: regex.map(Into::into),
        hosts: host.map(Into::into).into_iter().collect(),
        limit: 100,
        ..LogQuery::default()
    };
    let word = LogQuery { whole_words: true, ..query(Some("absent_word"), None, None) };
    for (name, query) in [
        ("needle, no hit", query(Some("a1b2c3d4e5"), None, None)),
        ("whole word, no hit", word),
        (
            "regex, no hit",
            query(None, Some("user=(eve|mallory)[0-9]+ .*timeout after [0-9]{4,}ms"), None),
        ),
        ("newest 100", query(None, None, None)),
        ("newest 100 of a host", query(None, None, Some("host7"))),
    ] {
        let before = cpu_s()?;
        let budget =
            Budget { scan_bytes_max: u64::MAX, memory_bytes_max: u64::MAX, stop: &|| None };
        let end = store.search(&query, &budget, &mut |_| ControlFlow::Continue(()))?;
        let ms = (cpu_s()? - before) * 1e3;
        println!(
            "{name}: {ms:.1} ms CPU, {} hits, {} MB looked through",
            end.hits,
            end.scanned_bytes >> 20
        );
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
