//! The peer on the durable path: Debian's rsyslog, one that reads the file and sends it over plain
//! TCP, one that receives it and writes a file. No TLS, no compression, no acks, no sync: it does
//! less than we do.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::corpus::Corpus;
use super::usage::{Cpu, Memory};
use crate::rig::{Process, eventually, free_tcp_port};

const PROGRAM: &str = "/usr/sbin/rsyslogd";
/// Far more than the slowest round takes.
const PATIENCE: Duration = Duration::from_secs(900);

/// Where the sender keeps what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// In memory: a crash loses it.
    Ram,
    /// On disk, not synced.
    Disk,
}

/// What one round took.
#[derive(Debug)]
pub(super) struct Round {
    /// Lines per CPU-second of the sender.
    pub(super) sender: f64,
    /// Lines per CPU-second of the receiver.
    pub(super) receiver: f64,
    /// Largest resident memory of the sender. MiB.
    pub(super) peak: f64,
    /// Wall time. Seconds.
    pub(super) wall: f64,
}

/// Sends the corpus through a pair of rsyslogs in `dir`.
///
/// # Panics
/// When rsyslog is not installed or loses lines.
pub(super) fn round(dir: &Path, corpus: &Corpus, queue: Queue) -> Round {
    assert!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing: run `tests/setup.sh bench`");
    let (work, port) = (dir.join("work"), free_tcp_port());
    let sink = dir.join("received");
    std::fs::create_dir_all(&work).expect("a directory");
    let receiver = start(
        dir,
        "receiver",
        &format!(
            "global(workDirectory=\"{0}\" maxMessageSize=\"64k\")\n\
             module(load=\"imtcp\")\n\
             template(name=\"line\" type=\"string\" string=\"%msg%\\n\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"in\")\n\
             ruleset(name=\"in\") {{ action(type=\"omfile\" file=\"{1}\" template=\"line\" asyncWriting=\"off\" ioBufferSize=\"64k\") }}\n",
            work.display(),
            sink.display(),
        ),
    );
    eventually("the receiving rsyslog listens", Duration::from_secs(30), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let queue = match queue {
        Queue::Ram => "queue.type=\"LinkedList\" queue.size=\"50000\"".to_owned(),
        Queue::Disk => {
            "queue.type=\"Disk\" queue.filename=\"queue\" queue.maxDiskSpace=\"8g\"".to_owned()
        }
    };
    let began = Instant::now();
    let sender = start(
        dir,
        "sender",
        &format!(
            "global(workDirectory=\"{}\" maxMessageSize=\"64k\")\n\
             module(load=\"imfile\")\n\
             input(type=\"imfile\" file=\"{}\" tag=\"bench:\" ruleset=\"out\")\n\
             ruleset(name=\"out\") {{ action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"tcp\" {queue} queue.timeoutEnqueue=\"600000\") }}\n",
            work.display(),
            corpus.path.display(),
        ),
    );
    let mut arrived = Arrived::default();
    eventually("every line has passed rsyslog", PATIENCE, || {
        (arrived.count(&sink) >= corpus.lines).then_some(())
    });
    let wall = began.elapsed().as_secs_f64();
    let lines = corpus.lines as f64;
    Round {
        sender: lines / Cpu::of(sender.id()).total,
        receiver: lines / Cpu::of(receiver.id()).total,
        peak: Memory::of(sender.id()).peak,
        wall,
    }
}

fn start(dir: &Path, name: &str, config: &str) -> Process {
    let path = dir.join(format!("{name}.conf"));
    std::fs::write(&path, config).expect("the configuration is written");
    let mut command = Command::new(PROGRAM);
    command.arg("-n").arg("-f").arg(&path).arg("-i").arg(dir.join(format!("{name}.pid")));
    Process::start(&mut command, &dir.join(format!("{name}.log")))
}

/// Lines of a growing file.
#[derive(Default)]
struct Arrived {
    file: Option<File>,
    lines: u64,
}

impl Arrived {
    fn count(&mut self, path: &Path) -> u64 {
        if self.file.is_none() {
            self.file = File::open(path).ok();
        }
        let mut chunk = vec![0; 1024 * 1024];
        while let Some(read) = self.file.as_mut().and_then(|file| file.read(&mut chunk).ok()) {
            if read == 0 {
                break;
            }
            self.lines += chunk[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        self.lines
    }
}
