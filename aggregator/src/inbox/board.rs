//! Where one inbox lane stands, shared between its thread, intake, followers and the API.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_proto::talk::marks::{Known, Mark};
use muster_spool::{Reader, Spool};

/// Where one inbox lane stands.
pub struct InboxBoard {
    /// Which lane.
    pub lane: Lane,
    /// The inbox's own stream: names sealed parts, so that a repeated seal never doubles.
    pub stream: StreamId,
    reader: Reader,
    budget_bytes: u64,
    bytes: AtomicU64,
    /// Frames appended since the start.
    pub frames: AtomicU64,
    /// Bytes of those frames.
    pub frame_bytes: AtomicU64,
    /// Repeats dropped since the start.
    pub repeats: AtomicU64,
    /// Syncs since the start.
    pub commits: AtomicU64,
    /// Streams forgotten since the start, because their host has begun too many.
    pub streams_forgotten: AtomicU64,
    /// Frames of new streams that were not taken since the start, because there are too many streams.
    pub streams_refused: AtomicU64,
    cursors: Vec<(&'static str, AtomicU64)>,
    held: AtomicBool,
    state: Mutex<State>,
    moved: Condvar,
    thread: OnceLock<std::thread::Thread>,
}

#[derive(Default)]
struct State {
    durable: u64,
    closed: bool,
    refused: Option<String>,
    marks: HashMap<StreamId, (Arc<str>, Seq)>,
}

impl InboxBoard {
    pub(super) fn new(
        lane: Lane,
        spool: &Spool,
        cursors: &[&'static str],
        budget_bytes: u64,
    ) -> InboxBoard {
        let cursor = |name: &&'static str| (*name, AtomicU64::new(spool.cursor(name).unwrap_or(0)));
        let state = State { durable: spool.durable_seq(), ..State::default() };
        InboxBoard {
            lane,
            stream: StreamId(spool.stream()),
            reader: spool.reader(),
            budget_bytes,
            bytes: AtomicU64::new(spool.usage().bytes),
            frames: AtomicU64::new(0),
            frame_bytes: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            streams_forgotten: AtomicU64::new(0),
            streams_refused: AtomicU64::new(0),
            cursors: cursors.iter().map(cursor).collect(),
            held: AtomicBool::new(false),
            state: Mutex::new(state),
            moved: Condvar::new(),
            thread: OnceLock::new(),
        }
    }

    /// Reads durable entries.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Bytes kept and bytes that may be kept.
    pub fn usage(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.budget_bytes)
    }

    /// Why nothing is taken in, as long as nothing is.
    pub fn refusal(&self) -> Option<String> {
        if self.is_held() {
            return Some("the disk is nearly full, nothing is acked".to_owned());
        }
        self.state().refused.clone()
    }

    /// Stops taking frames in, or goes on. What came and was not synced waits, unacked.
    pub fn hold(&self, held: bool) {
        if self.held.swap(held, Ordering::Relaxed) != held
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// What a hello of `host` is to be told about a stream.
    pub fn known(&self, host: &str, stream: StreamId) -> Known {
        match self.state().marks.get(&stream) {
            None => Known::New,
            Some((owner, _)) if **owner != *host => Known::OtherHost,
            Some((_, durable)) => Known::Durable(*durable),
        }
    }

    /// Last durable entry of the inbox's own stream.
    pub fn durable(&self) -> u64 {
        self.state().durable
    }

    /// Where a follower's cursor stands: the last entry it is done with.
    pub fn cursor(&self, name: &str) -> u64 {
        let found = self.cursors.iter().find(|(cursor, _)| *cursor == name);
        found.map_or(0, |(_, at)| at.load(Ordering::Acquire))
    }

    /// A follower is done with everything up to `upto`.
    pub fn advance(&self, name: &str, upto: u64) {
        if let Some((_, at)) = self.cursors.iter().find(|(cursor, _)| *cursor == name) {
            at.fetch_max(upto, Ordering::AcqRel);
        }
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Waits until an entry after `seen` is durable, the inbox closes, or `patience` is over.
    /// Says whether there may be more to come.
    pub fn wait_beyond(&self, seen: u64, patience: Duration) -> bool {
        let state = self.state();
        let waiting = |state: &mut State| state.durable <= seen && !state.closed;
        let waited = self.moved.wait_timeout_while(state, patience, waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !(state.closed && state.durable <= seen)
    }

    pub(super) fn cursors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.cursors.iter().map(|(name, at)| (*name, at.load(Ordering::Acquire)))
    }

    pub(super) fn attach(&self, thread: std::thread::Thread) {
        let _ = self.thread.set(thread);
    }

    pub(super) fn put_mark(&self, stream: StreamId, mark: &Mark) {
        self.state().marks.insert(stream, (mark.host.clone(), mark.durable));
    }

    pub(super) fn drop_mark(&self, stream: StreamId) {
        self.state().marks.remove(&stream);
    }

    pub(super) fn committed(&self, spool: &Spool) {
        self.state().refused = None;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.show_durable(spool);
    }

    pub(super) fn show_durable(&self, spool: &Spool) {
        self.bytes.store(spool.usage().bytes, Ordering::Relaxed);
        self.state().durable = spool.durable_seq();
        self.moved.notify_all();
    }

    pub(super) fn freed(&self, spool: &Spool) {
        self.bytes.store(spool.usage().bytes, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: String) {
        self.state().refused = Some(why);
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.moved.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
