//! Everything put together, one step at a time. The time is told; the thread around it waits.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use muster_proto::clock::{Mono, Utc};
use muster_proto::frame::{SealError, Sealed, Sealer};
use muster_proto::log::LogBlock;

use super::checkpoint::Checkpoints;
use super::files::{Files, Now};
use super::journald::Journald;
use super::limits::{
    BUSY_LOOK, FULL_WAIT, LINGER, LINGER_IDLE, MEASURE_EVERY, PACE, SCAN_BLIND, SCAN_ENTRY_COST,
    SCAN_EVERY, SCAN_GAP, SETTLE_EVERY,
};
use super::settings::LogSettings;
use super::stats::{LogStats, add};
use super::thread::StartError;
use super::watch::Watch;

/// A small durable value that is committed with the frame it came with. `None` removes it.
pub type Note = (Vec<u8>, Option<Vec<u8>>);

/// A sealed frame and the positions behind its lines. Both are stored in one commit, or neither.
#[derive(Debug)]
pub struct Batch {
    /// Lines. `None` when only a position has changed: a copy of a known file was recognised.
    pub sealed: Option<Sealed>,
    /// Where their sources go on.
    pub notes: Vec<Note>,
}

/// Where batches go: the logs lane, or a channel in tests.
pub trait Outlet: Send {
    /// Takes a batch without waiting.
    ///
    /// # Errors
    /// Gives the batch back when there is no room now, or nobody takes any more.
    fn try_send(&self, batch: Batch) -> Result<(), TrySendError<Batch>>;
}

impl Outlet for SyncSender<Batch> {
    fn try_send(&self, batch: Batch) -> Result<(), TrySendError<Batch>> {
        SyncSender::try_send(self, batch)
    }
}

/// What to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// There is more to do at once.
    No,
    /// Nothing before this time, unless something wakes us. `Duration` is at least 1 ms.
    For(Duration),
    /// The channel is full: nothing will be read before it has room.
    Full(Duration),
    /// Nobody takes batches any more.
    Closed,
}

/// Reads all sources into batches. See [`LogThread`](super::LogThread) for the thread around it.
pub struct LogReader {
    files: Files,
    journald: Option<Journald>,
    watch: Watch,
    block: LogBlock,
    sealer: Sealer,
    oldest: Option<Mono>,
    /// The journal gave something at the last look.
    journal_flows: bool,
    pending: Option<Batch>,
    tx: Box<dyn Outlet>,
    scan_at: Mono,
    scan_soonest: Mono,
    busy_at: Mono,
    measure_at: Mono,
    stats: Arc<LogStats>,
}

impl LogReader {
    /// Opens nothing yet. `wake` is called from another thread when there is news.
    ///
    /// # Errors
    /// [`StartError`]: a pattern is wrong, or memory ran out.
    pub fn new(
        settings: &LogSettings,
        mut checkpoints: Checkpoints,
        tx: Box<dyn Outlet>,
        wake: impl Fn() + Send + 'static,
    ) -> Result<LogReader, StartError> {
        let stats = Arc::new(LogStats::default());
        add(&stats.checkpoints_damaged, checkpoints.damaged);
        let cursor = checkpoints.cursor.take();
        let files = Files::new(settings, &mut checkpoints, Arc::clone(&stats), Mono(0));
        let journald = settings.journald.clone();
        Ok(LogReader {
            files: files.map_err(StartError::Settings)?,
            journald: journald.map(|settings| Journald::new(settings, cursor, Arc::clone(&stats))),
            watch: Watch::new(settings.watch && !settings.files.is_empty(), wake),
            block: LogBlock::new(),
            sealer: Sealer::new().map_err(StartError::Sealer)?,
            oldest: None,
            journal_flows: false,
            pending: None,
            tx,
            scan_at: Mono(0),
            scan_soonest: Mono(0),
            busy_at: Mono(0),
            measure_at: Mono(0),
            stats,
        })
    }

    /// Looks, reads, seals, hands over. Takes some ten milliseconds at most.
    pub fn step(&mut self, mono: Mono, utc: Utc) -> Wait {
        let now = Now { mono, utc };
        if let Some(wait) = self.hand_over() {
            self.measure(now, true);
            return wait;
        }
        self.look(now);
        if let Err(wait) = self.read(now) {
            return wait;
        }
        // After the reading: whether a file is a copy is known once its original has been looked at.
        self.files.settle(&mut self.block, now);
        let more = self.files.has_work() || self.journal_flows;
        if self.oldest.is_none() && !self.block.is_empty() {
            self.oldest = Some(mono);
        }
        if self.files.has_urgent_notes() && self.block.is_empty() {
            self.seal();
            if let Some(wait) = self.hand_over() {
                return wait;
            }
        }
        if let Some(oldest) = self.oldest {
            let linger = if more { LINGER } else { LINGER_IDLE };
            if mono.since(oldest) >= linger || self.block.is_full() {
                self.seal();
                if let Some(wait) = self.hand_over() {
                    return wait;
                }
            }
        }
        self.measure(now, false);
        if more { Wait::No } else { Wait::For(self.until_next(mono)) }
    }

    /// From time to time, tells how far the files are behind. `is_full`: nobody takes what we read.
    fn measure(&mut self, now: Now, is_full: bool) {
        if self.measure_at > now.mono {
            return;
        }
        self.measure_at = now.mono.after(MEASURE_EVERY);
        if is_full {
            self.files.look_at_sizes();
        }
        self.files.tell_behind();
    }

    /// Takes the news and walks the globs when it is time.
    fn look(&mut self, now: Now) {
        let news = self.watch.news(now.mono);
        news.written.iter().for_each(|path| self.files.written(path));
        news.gone.iter().for_each(|path| self.watch.forget(path));
        if news.lost {
            add(&self.stats.watch_failures, 1);
        }
        if self.busy_at <= now.mono {
            let busy: Vec<PathBuf> = self.watch.busy().map(PathBuf::from).collect();
            busy.iter().for_each(|dir| self.files.look_into(dir, now.mono));
            self.busy_at = now.mono.after(BUSY_LOOK);
        }
        let wanted = news.lost || news.names_changed || self.files.is_astray();
        if wanted {
            self.scan_at = self.scan_at.min(self.scan_soonest);
        }
        if self.scan_at > now.mono {
            return;
        }
        let walked = self.files.scan(now);
        let refused = self.watch.follow(&walked.dirs);
        add(&self.stats.watch_failures, refused);
        let watched = self.watch.watched() as u64;
        self.stats.dirs_watched.store(watched, std::sync::atomic::Ordering::Relaxed);
        let cost = SCAN_ENTRY_COST * u32::try_from(walked.entries).unwrap_or(u32::MAX);
        let blind = self.watch.is_blind() || self.watch.busy().next().is_some();
        self.scan_soonest = now.mono.after(SCAN_GAP + cost * 50);
        self.scan_at = match blind {
            true => now.mono.after(SCAN_BLIND + cost * 50),
            false => now.mono.after(SCAN_EVERY + cost * 1000),
        };
    }

    /// Gives every source its turn, for some rounds. `Err` when the channel is full.
    fn read(&mut self, now: Now) -> Result<(), Wait> {
        for _ in 0..64 {
            let was_empty = self.block.is_empty();
            let file = self.files.turn(&mut self.block, now);
            self.journal_flows = match &mut self.journald {
                Some(journald) => journald.turn(&mut self.block, now),
                None => false,
            };
            if was_empty && !self.block.is_empty() {
                self.oldest = Some(now.mono);
            }
            if self.block.is_full() {
                self.seal();
                if let Some(wait) = self.hand_over() {
                    return Err(wait);
                }
            }
            if file.is_none() && !self.journal_flows {
                break;
            }
        }
        Ok(())
    }

    fn seal(&mut self) {
        self.oldest = None;
        match self.block.seal(&mut self.sealer) {
            Ok(None) if !self.files.has_urgent_notes() => {}
            Ok(sealed) => {
                let mut notes = self.files.notes();
                notes.extend(self.journald.as_mut().and_then(Journald::note));
                add(&self.stats.frames, u64::from(sealed.is_some()));
                self.pending = Some(Batch { sealed, notes });
            }
            Err(error) => self.is_unsealable(&error),
        }
    }

    /// A block that cannot be sealed now cannot be sealed ever: its lines are given up, counted.
    fn is_unsealable(&mut self, error: &SealError) {
        tracing::error!(why = %error, lines = self.block.lines(), "Cannot seal log lines.");
        add(&self.stats.seal_failures, 1);
        self.block.clear();
    }

    /// Hands the pending batch over; `Some` when that is not possible now.
    fn hand_over(&mut self) -> Option<Wait> {
        match self.tx.try_send(self.pending.take()?) {
            Ok(()) => None,
            Err(TrySendError::Full(batch)) => {
                self.pending = Some(batch);
                Some(Wait::Full(FULL_WAIT))
            }
            Err(TrySendError::Disconnected(_)) => Some(Wait::Closed),
        }
    }

    /// Seals and hands over what was read. `true` when nothing is left.
    pub fn flush(&mut self) -> bool {
        if self.pending.is_none() {
            self.seal();
        }
        match self.hand_over() {
            None | Some(Wait::Closed) => self.block.is_empty() || self.flush(),
            Some(_) => false,
        }
    }

    fn until_next(&self, now: Mono) -> Duration {
        let mut next = self.scan_at;
        if let Some(oldest) = self.oldest {
            next = next.min(oldest.after(LINGER_IDLE));
        }
        if self.files.is_settling() {
            next = next.min(now.after(SETTLE_EVERY));
        }
        if self.files.is_astray() {
            next = next.min(self.scan_soonest);
        }
        if self.watch.busy().next().is_some() {
            next = next.min(self.busy_at);
        }
        if let Some(starts_at) = self.journald.as_ref().and_then(Journald::starts_at) {
            next = next.min(starts_at);
        }
        next.since(now).max(Duration::from_millis(1))
    }

    /// Shortest time worth sleeping between two steps.
    pub(super) const PACE: Duration = PACE;

    /// What the reader counts.
    pub fn stats(&self) -> Arc<LogStats> {
        Arc::clone(&self.stats)
    }

    /// The journal's pipe, to wait on.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.journald.as_ref().and_then(Journald::pipe)
    }
}
