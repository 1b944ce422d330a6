//! Followers: one plain thread per lane that reads the inbox into its store, with a cursor of its own.
//!
//! Room: `aggregator::follow`.  May use: `inbox`, `stores`, `roster`.  Used by: `app`.
//!
//! Invariants
//! - The cursor moves only over what the store has on disk, so a restart reads the rest again.
//! - A bad frame is counted and passed; a store that fails is asked again; neither ends the thread.
//! - A slow or broken follower delays only itself, until the inbox is full.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_program::pulse::Beat;
use muster_proto::clock::Utc;
use muster_proto::errors::chain;
use muster_spool::ReadError;

use crate::inbox::{Entry, InboxBoard};
use crate::stores::StoreError;

mod logs;
mod metrics;
mod state;

pub use logs::{CURSOR as LOGS_CURSOR, LogFollower};
pub use metrics::{CURSOR as METRICS_CURSOR, MetricFollower};
pub use state::{CURSOR as STATE_CURSOR, StateFollower};

/// Bytes read from the inbox at once.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// The thread looks at the clock at least this often: seals by age, saves of the roster.
const TICK: Duration = Duration::from_millis(500);
/// Pause before a store that failed is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// What a follower does with what it reads.
pub trait Follower: Send {
    /// Name of its cursor.
    fn cursor(&self) -> &'static str;

    /// Takes one entry of the inbox.
    ///
    /// # Errors
    /// As the stores: a bad frame, or a store that failed.
    fn take(&mut self, seq: u64, entry: &Entry<'_>, now: Utc) -> Result<(), StoreError>;

    /// Time has passed, or a group of entries is taken: seal or save what is due. Gives the last
    /// entry that is safe on disk.
    ///
    /// # Errors
    /// The store failed; it is asked again.
    fn settle(&mut self, seen: u64, now: Utc) -> Result<u64, StoreError>;

    /// The aggregator stops: save what can be saved.
    fn finish(&mut self, _seen: u64, _now: Utc) {}
}

/// What a follower counts. Shared with `/metrics`.
#[derive(Debug, Default)]
pub struct FollowCounts {
    /// Frames taken.
    pub frames: AtomicU64,
    /// Frames that could not be understood.
    pub bad_frames: AtomicU64,
    /// Times the store failed.
    pub failures: AtomicU64,
    /// Inbox entries that were lost to damage.
    pub missing: AtomicU64,
    /// Last entry taken.
    pub seen: AtomicU64,
    last_error: Mutex<String>,
}

impl FollowCounts {
    /// The last failure of the store; empty when there was none.
    pub fn last_error(&self) -> String {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One follower on its inbox.
pub struct Following<F> {
    /// What it does.
    pub follower: F,
    /// Whom it follows.
    pub board: Arc<InboxBoard>,
    /// What it counts.
    pub counts: Arc<FollowCounts>,
    /// What the time is.
    pub clock: fn() -> Utc,
    /// True when the aggregator stops.
    pub stop: Arc<AtomicBool>,
    /// Says that this thread does not hang; a store that fails is not a hang.
    pub beat: Beat,
}

impl<F: Follower> Following<F> {
    /// The thread's body.
    pub fn run(mut self) {
        let reader = self.board.reader();
        let mut seen = self.board.cursor(self.follower.cursor());
        loop {
            self.beat.works();
            match reader.read(seen + 1, READ_BYTES) {
                Ok(entries) if entries.is_empty() => {
                    let more = self.board.wait_beyond(seen, TICK);
                    if !more || self.stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
                Ok(entries) => {
                    for entry in entries {
                        if !self.take(entry.seq, &entry.bytes) {
                            return;
                        }
                        seen = entry.seq;
                    }
                }
                Err(ReadError::Missing { from, to }) => {
                    tracing::error!(lane = %self.board.lane, from, to, "The inbox lost entries.");
                    self.counts.missing.fetch_add(to - from + 1, Ordering::Relaxed);
                    seen = to;
                }
                Err(error) => self.pause("The inbox cannot be read.", &error),
            }
            self.counts.seen.store(seen, Ordering::Relaxed);
            self.settle(seen);
        }
        self.follower.finish(seen, (self.clock)());
        self.settle(seen);
    }

    /// False when the aggregator stops while the store fails.
    fn take(&mut self, seq: u64, bytes: &[u8]) -> bool {
        let Ok(entry) = Entry::parse(bytes) else {
            self.counts.bad_frames.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        loop {
            match self.follower.take(seq, &entry, (self.clock)()) {
                Ok(()) => {
                    self.counts.frames.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Err(error) if is_bad_frame(&error) => {
                    let (host, error) = (entry.host, chain(&error));
                    tracing::warn!(host, error, "A frame cannot be understood and is passed over.");
                    self.counts.bad_frames.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Err(error) => self.pause("A store failed.", &error),
            }
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
        }
    }

    fn settle(&mut self, seen: u64) {
        match self.follower.settle(seen, (self.clock)()) {
            Ok(upto) => self.board.advance(self.follower.cursor(), upto),
            Err(error) => self.pause("A store failed.", &error),
        }
    }

    fn pause(&self, what: &str, error: &dyn std::error::Error) {
        let error = chain(error);
        tracing::error!(lane = %self.board.lane, error, "{what} Trying again.");
        *self.counts.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        self.beat.works();
        std::thread::park_timeout(RETRY_PAUSE);
    }
}

/// The frame's fault, not the store's.
fn is_bad_frame(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Frame(_)
            | StoreError::Body { .. }
            | StoreError::Kind { .. }
            | StoreError::NoDict { .. }
    )
}
