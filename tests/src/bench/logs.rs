//! The durable log path: file → seal → spool, synced → QUIC → inbox, synced → ack → released, and
//! what the aggregator's store makes of it afterwards. One agent, one aggregator, loopback.

use std::path::Path;
use std::time::{Duration, Instant};

use muster_agent::status;

use super::corpus::{self, Corpus};
use super::rsyslog::{self, Queue};
use super::usage::{Cpu, Memory, sample};
use super::{Extent, Goal, Row, say, yardstick};
use crate::rig::{Agent, AgentOptions, Aggregator, ONE, Process, Rig, eventually, page};

const SEED: u64 = 20_260_312;
/// Far more than the slowest round takes.
const PATIENCE: Duration = Duration::from_secs(900);
/// Nothing is under way when this many looks in a row say so: longer than a block lingers.
const QUIET_LOOKS: u32 = 10;

/// What one round of ours took.
#[derive(Default)]
struct Round {
    /// [`yardstick`] of the same minute.
    zstd: f64,
    agent: f64,
    agent_mb: f64,
    agent_peak: f64,
    intake: f64,
    aggregator: f64,
    stored: f64,
    stored_ratio: f64,
    wire_ratio: f64,
    wall_mb: f64,
}

/// Runs the rounds; one row for each thing measured.
///
/// # Panics
/// When a program is missing, or a line is lost.
pub fn logs(extent: &Extent) -> Vec<Row> {
    let dir = tempfile::Builder::new().prefix("muster-bench-").tempdir().expect("a directory");
    let long = corpus::write(&dir.path().join("bench.log"), extent.log_bytes, SEED);
    let long = long.expect("room for the log file");
    let short = corpus::write(&dir.path().join("short.log"), extent.disk_queue_bytes, SEED);
    let short = short.expect("room for the log file");
    say(&format!("{} lines, {} bytes each on average", long.lines, long.bytes / long.lines));
    let (mut ours, mut ram, mut disk) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=extent.rounds {
        say(&format!("round {number} of {}: muster", extent.rounds));
        ours.push(round(&long));
        say(&format!("round {number} of {}: rsyslog, queue in RAM", extent.rounds));
        ram.push(peer(dir.path(), &long, Queue::Ram));
        say(&format!("round {number} of {}: rsyslog, queue on disk", extent.rounds));
        disk.push(peer(dir.path(), &short, Queue::Disk));
    }
    rows(&ours, &ram, &disk)
}

fn rows(ours: &[Round], ram: &[rsyslog::Round], disk: &[rsyslog::Round]) -> Vec<Row> {
    let all = |value: fn(&Round) -> f64| ours.iter().map(value).collect::<Vec<f64>>();
    let peer = |rounds: &[rsyslog::Round], value: fn(&rsyslog::Round) -> f64| {
        rounds.iter().map(value).collect::<Vec<f64>>()
    };
    const LINES: &str = "lines/CPU-s";
    const ZSTD: &str = "zstd -1 alone";
    let zstd = all(|round| round.zstd);
    let row = |what: &str, unit: &'static str, values: &[f64]| Row::new("logs", what, unit, values);
    vec![
        row("agent: file to released, durable and encrypted", LINES, &all(|round| round.agent))
            .goal(Goal::AtLeast(1.8e6))
            .beside("rsyslog RAM", &peer(ram, |round| round.sender))
            .beside("rsyslog disk queue", &peer(disk, |round| round.sender))
            .beside(ZSTD, &zstd),
        row("agent: the same in MB", "MB/CPU-s", &all(|round| round.agent_mb)),
        row("agent: largest RSS", "MiB", &all(|round| round.agent_peak))
            .beside("rsyslog RAM", &peer(ram, |round| round.peak))
            .beside("rsyslog disk queue", &peer(disk, |round| round.peak)),
        row("aggregator: intake, up to the durable ack", LINES, &all(|round| round.intake))
            .goal(Goal::AtLeast(9e6))
            .beside("rsyslog TCP to file", &peer(ram, |round| round.receiver))
            .beside(ZSTD, &zstd),
        row("aggregator: store (decode, sort, block, bloom)", LINES, &all(|round| round.stored))
            .goal(Goal::AtLeast(0.8e6))
            .beside(ZSTD, &zstd),
        row("aggregator: everything", LINES, &all(|round| round.aggregator)),
        row("on the wire, of a raw byte", "bytes", &all(|round| round.wire_ratio)),
        row("stored, of a raw byte", "bytes", &all(|round| round.stored_ratio))
            .goal(Goal::AtMost(0.20)),
        row("wall, all processes on this machine", "MB/s", &all(|round| round.wall_mb)),
    ]
}

fn peer(dir: &Path, corpus: &Corpus, queue: Queue) -> rsyslog::Round {
    let dir = tempfile::Builder::new().prefix("rsyslog-").tempdir_in(dir).expect("a directory");
    let round = rsyslog::round(dir.path(), corpus, queue);
    say(&format!(
        "  sender {:.0}, receiver {:.0} lines/CPU-s, {:.1} s wall",
        round.sender, round.receiver, round.wall
    ));
    round
}

fn round(corpus: &Corpus) -> Round {
    // The last lines are sealed soon, so that the store's work is complete when it is counted.
    let rig = Rig::with(ONE, "[store]\nseal_age = \"5s\"\n");
    let zstd = yardstick::lines_a_second(corpus);
    let aggregator = &rig.aggregators[0];
    let server = aggregator.process.as_ref().map(Process::id).expect("the aggregator runs");
    let options =
        AgentOptions { logs: vec![corpus.path.display().to_string()], ..AgentOptions::default() };
    let before = Cpu::of(server);
    let began = Instant::now();
    let agent = rig.agent("bench1.eqiad.test", &options);
    let client = agent.process.as_ref().map(Process::id).expect("the agent runs");
    let wall = until_released(&agent, corpus.lines).duration_since(began).as_secs_f64();
    let sent = Cpu::of(client);
    let taken = Cpu::of(server).since(&before);
    until_stored(aggregator);
    let stored = Cpu::of(server).since(&before);
    say(&format!("  agent {}", sent.line()));
    say(&format!("  aggregator {}, {wall:.1} s wall", stored.line()));
    let own = page(aggregator.metrics, "/metrics").unwrap_or_default();
    let wire = sample(&own, "muster_inbox_frame_bytes_total", "lane=\"logs\"").unwrap_or(f64::NAN);
    let (lines, bytes) = (corpus.lines as f64, corpus.bytes as f64);
    Round {
        zstd,
        agent: lines / sent.total,
        agent_mb: bytes / 1e6 / sent.total,
        agent_peak: Memory::of(client).peak,
        intake: lines / taken.named(&["door-", "inbox-"]),
        aggregator: lines / stored.total,
        stored: lines / stored.named(&["follow-logs"]),
        stored_ratio: size_of(&aggregator.state_dir().join("logs")) as f64 / bytes,
        wire_ratio: wire / bytes,
        wall_mb: bytes / 1e6 / wall,
    }
}

/// Every line was read, and the aggregator has acked every frame; says since when.
fn until_released(agent: &Agent, lines: u64) -> Instant {
    let (mut quiet, mut since) = (0, Instant::now());
    eventually("every line is acked", PATIENCE, || {
        let status = status::ask(&agent.run_dir()).ok()?;
        let waiting = status.lanes.iter().find(|lane| lane.lane == "logs")?.frames;
        let is_quiet = status.log_lines >= lines && waiting == 0;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        if quiet <= 1 {
            since = Instant::now();
        }
        (quiet >= QUIET_LOOKS).then_some(since)
    })
}

/// The store has taken and sealed everything.
fn until_stored(aggregator: &Aggregator) {
    eventually("every line is stored", PATIENCE, || {
        let own = page(aggregator.metrics, "/metrics").ok()?;
        let arrived = sample(&own, "muster_inbox_frames_total", "lane=\"logs\"")?;
        let stored = sample(&own, "muster_store_frames_total", "store=\"logs\"")?;
        let head = sample(&own, "muster_log_store_head_bytes", "")?;
        (stored >= arrived && head == 0.0).then_some(())
    });
}

fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => size_of(&entry.path()),
        Ok(facts) => facts.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
