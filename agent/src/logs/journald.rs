//! The journal through a child: `journalctl` reads the files, we read its pipe.
//!
//! libsystemd maps journal files into memory; a file that shrinks under it kills the process with
//! SIGBUS. In a child that costs a restart at the cursor.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use muster_proto::clock::{Mono, Utc};
use muster_proto::limits::LOG_LINE_BYTES_MAX;
use muster_proto::log::{FLAG_READ_TIME, LogBlock, LogSource, Severity, SourceKind};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::checkpoint::JOURNALD_KEY;
use super::export::{Entry, Parser, WANTED};
use super::files::Now;
use super::limits::{JOURNAL_BACKOFF, JOURNAL_HEALTHY, JOURNAL_READ_BYTES};
use super::reader::Note;
use super::settings::{JournaldSource, Start};
use super::stats::{LogStats, add};

/// A message time beyond this is not one; about the year 2262. Microseconds.
const REALTIME_MAX: u64 = i64::MAX as u64 / 1000;

/// The journal's reader.
pub(super) struct Journald {
    settings: JournaldSource,
    cursor: Option<String>,
    /// The cursor moved since the last note.
    moved: bool,
    child: Option<Running>,
    parser: Parser,
    start_at: Mono,
    wait: Duration,
    buffer: Vec<u8>,
    stats: Arc<LogStats>,
}

struct Running {
    child: Child,
    pipe: ChildStdout,
    since: Mono,
    /// The pipe was empty at the last look.
    drained: bool,
}

impl Journald {
    /// Goes on behind `cursor`. Nothing runs yet.
    pub(super) fn new(
        settings: JournaldSource,
        cursor: Option<String>,
        stats: Arc<LogStats>,
    ) -> Journald {
        Journald {
            settings,
            cursor,
            moved: false,
            child: None,
            parser: Parser::default(),
            start_at: Mono(0),
            wait: JOURNAL_BACKOFF.0,
            buffer: vec![0; JOURNAL_READ_BYTES],
            stats,
        }
    }

    /// Reads what the child wrote, at most one buffer. `false` when there is nothing now.
    pub(super) fn turn(&mut self, block: &mut LogBlock, now: Now) -> bool {
        if block.is_full() {
            return true;
        }
        if self.child.is_none() && !self.start(now.mono) {
            return false;
        }
        let Some(running) = &mut self.child else { return false };
        match running.pipe.read(&mut self.buffer) {
            Ok(0) => {
                self.ended(now.mono);
                false
            }
            Ok(read) => {
                running.drained = false;
                self.take(read, block, now.utc);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                running.drained = true;
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => {
                tracing::warn!(why = %error, "Cannot read from journalctl.");
                self.ended(now.mono);
                false
            }
        }
    }

    fn start(&mut self, now: Mono) -> bool {
        if now < self.start_at {
            return false;
        }
        let spawned = self.command().spawn();
        let started = spawned.and_then(|mut child| {
            let pipe = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
            fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            Ok(Running { child, pipe, since: now, drained: false })
        });
        match started {
            Ok(running) => {
                self.parser = Parser::default();
                self.child = Some(running);
                true
            }
            Err(error) => {
                tracing::warn!(why = %error, "Cannot start journalctl.");
                self.back_off(now);
                false
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.settings.program);
        command.args(["--quiet", "--no-pager", "--output=export", "--all", "--follow"]);
        command.arg(format!("--output-fields={WANTED}"));
        match (&self.cursor, self.settings.start) {
            (Some(cursor), _) => {
                command.arg("--no-tail").arg(format!("--after-cursor={cursor}"));
            }
            (None, Start::Beginning) => drop(command.arg("--no-tail")),
            (None, Start::End) => drop(command.arg("--lines=0")),
        }
        if let Some(directory) = &self.settings.directory {
            command.arg("--directory").arg(directory);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn ended(&mut self, now: Mono) {
        let Some(mut running) = self.child.take() else { return };
        if now.since(running.since) >= JOURNAL_HEALTHY {
            self.wait = JOURNAL_BACKOFF.0;
        }
        // It closed its pipe, so it is on its way out; if not, it is of no use.
        let _ = running.child.kill();
        let status = running.child.wait();
        tracing::debug!(?status, "journalctl ended.");
        add(&self.stats.journal_restarts, 1);
        self.back_off(now);
    }

    fn back_off(&mut self, now: Mono) {
        self.start_at = now.after(self.wait);
        self.wait = (self.wait * 2).min(JOURNAL_BACKOFF.1);
    }

    fn take(&mut self, read: usize, block: &mut LogBlock, at: Utc) {
        let Journald { parser, buffer, settings, cursor, moved, stats, .. } = self;
        parser.feed(&buffer[..read], &mut |entry| {
            take_entry(entry, settings, block, (at, stats));
            if let Ok(text) = std::str::from_utf8(&entry.cursor)
                && !text.is_empty()
            {
                let cursor = cursor.get_or_insert_default();
                cursor.clear();
                cursor.push_str(text);
                *moved = true;
            }
        });
    }

    /// The note that belongs to all messages handed out so far.
    pub(super) fn note(&mut self) -> Option<Note> {
        let cursor = self.cursor.as_ref().filter(|_| self.moved)?;
        self.moved = false;
        Some((JOURNALD_KEY.to_vec(), Some(cursor.as_bytes().to_vec())))
    }

    /// The pipe to wait on.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.child.as_ref().map(|running| running.pipe.as_fd())
    }

    /// When a child will be started, if none runs.
    pub(super) fn starts_at(&self) -> Option<Mono> {
        self.child.is_none().then_some(self.start_at)
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        if let Some(mut running) = self.child.take() {
            // Either fails only when it has ended already.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

fn take_entry(
    entry: &Entry,
    settings: &JournaldSource,
    block: &mut LogBlock,
    surroundings: (Utc, &LogStats),
) {
    let (now, stats) = surroundings;
    let unit = String::from_utf8_lossy(&entry.unit);
    if !entry.has_message || (!settings.own_unit.is_empty() && unit == settings.own_unit) {
        add(&stats.journal_skipped, 1);
        return;
    }
    let program = String::from_utf8_lossy(&entry.identifier);
    let source = LogSource {
        kind: SourceKind::Journald,
        class: settings.class_of(&unit, &program).to_owned(),
        name: unit.into_owned(),
        program: program.into_owned(),
    };
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let realtime = text(&entry.realtime).and_then(|text| text.parse::<u64>().ok());
    let (at, flags) = match realtime.filter(|at| *at <= REALTIME_MAX) {
        Some(at) => (Utc(at.cast_signed()), 0),
        None => (now, FLAG_READ_TIME),
    };
    let severity = text(&entry.priority).and_then(|text| text.parse().ok());
    let severity = severity.and_then(Severity::from_byte).unwrap_or(Severity::Info);
    let number = block.source(&source);
    block.push(number, at, (severity, flags), &entry.message);
    add(&stats.lines, 1);
    add(&stats.bytes, entry.message.len() as u64 + 1);
    add(&stats.journal_messages, 1);
    add(&stats.cut_lines, u64::from(entry.message.len() > LOG_LINE_BYTES_MAX));
}
