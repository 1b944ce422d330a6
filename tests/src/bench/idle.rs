//! An agent that has little to do, beside Debian's node_exporter that is scraped as often.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::usage::{Cpu, Memory};
use super::{Extent, Goal, Row, say};
use crate::rig::{AgentOptions, ONE, PATIENCE, Process, Rig, eventually, free_tcp_port, page};

const EXPORTER: &str = "/usr/bin/prometheus-node-exporter";
/// As often as the agent scrapes by itself.
const INTERVAL: Duration = Duration::from_secs(15);
/// Start-up is over after this.
const SETTLE: Duration = Duration::from_secs(20);
/// Log files that nobody writes.
const FILES: usize = 50;

/// Watches both for a while.
///
/// # Panics
/// When a program is missing or does not do its work.
pub fn idle(extent: &Extent) -> Vec<Row> {
    assert!(Path::new(EXPORTER).exists(), "{EXPORTER} is missing: run `tests/setup.sh bench`");
    say(&format!("idle for {} s", extent.idle.as_secs()));
    let rig = Rig::new(ONE);
    let mut agent = start_agent(&rig);
    let port = free_tcp_port();
    let mut command = Command::new(EXPORTER);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let exporter = Process::start(&mut command, &rig.dir().join("exporter.log"));
    eventually("node_exporter answers", PATIENCE, || page(port, "/metrics").ok());
    let ids = [agent.id(), exporter.id()];
    watch(SETTLE, port);
    let before = ids.map(Cpu::of);
    let began = Instant::now();
    watch(extent.idle, port);
    let wall = began.elapsed().as_secs_f64();
    let used = [0, 1].map(|n| Cpu::of(ids[n]).since(&before[n]));
    say(&format!("  agent {}", used[0].line()));
    let busy = |n: usize| {
        // Ticks of 10 ms are coarse for so little work: threads are counted in nanoseconds.
        let threads: f64 = used[n].threads.values().sum();
        [100.0 * threads.max(used[n].total - 0.01) / wall]
    };
    assert!(agent.is_running(), "the agent ended:\n{}", agent.log_tail());
    let memory = ids.map(Memory::of);
    let row = |what: &str, unit: &'static str, values: &[f64]| Row::new("idle", what, unit, values);
    vec![
        row("idle agent: RSS", "MiB", &[memory[0].rss])
            .goal(Goal::AtMost(15.0))
            .beside("node_exporter", &[memory[1].rss]),
        row("idle agent: PSS", "MiB", &[memory[0].pss]).beside("node_exporter", &[memory[1].pss]),
        row("idle agent: CPU", "% of a core", &busy(0))
            .goal(Goal::AtMost(0.2))
            .beside("node_exporter", &busy(1)),
    ]
}

fn start_agent(rig: &Rig) -> Process {
    let folder = rig.dir().join("logs");
    std::fs::create_dir_all(&folder).expect("a directory");
    for number in 0..FILES {
        std::fs::write(folder.join(format!("{number}.log")), "a line\n").expect("a log file");
    }
    let options = AgentOptions {
        logs: vec![folder.join("*.log").display().to_string()],
        more: "[logs.journald]\nenabled = true\n".to_owned(),
        ..AgentOptions::default()
    };
    let agent = rig.enrolled("bench1.eqiad.test", &options);
    // The rig's own impatience is no default.
    let text = std::fs::read_to_string(agent.config()).expect("the configuration is there");
    let kept = text.lines().filter(|line| !line.starts_with("home_stable"));
    std::fs::write(agent.config(), kept.collect::<Vec<_>>().join("\n")).expect("it is written");
    let mut agent = agent;
    agent.start();
    agent.process.take().expect("it was started")
}

/// Waits, and scrapes the exporter meanwhile as Prometheus would.
fn watch(span: Duration, port: u16) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        page(port, "/metrics").expect("node_exporter answers");
        let next = (Instant::now() + INTERVAL).min(end);
        while let Some(rest) =
            next.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
        {
            std::thread::park_timeout(rest);
        }
    }
}
