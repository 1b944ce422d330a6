//! Where one lane stands, shared between its thread, the uplink and the agent's own checks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_spool::{Entry, ReadError, Reader, Spool};
use tokio::sync::Notify;

/// Records and frames that a lane gave up at a named limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// First frame; `NONE` when they never became one.
    pub from: Seq,
    /// Last frame.
    pub to: Seq,
    /// How many records (or frames, where records are not known any more).
    pub records: u64,
    /// Which limit.
    pub why: &'static str,
}

/// A copy of what the board says.
#[derive(Debug, Clone)]
pub struct LaneView {
    /// Which lane.
    pub lane: Lane,
    /// Its stream.
    pub stream: StreamId,
    /// Last frame acked by an aggregator.
    pub released: Seq,
    /// Last frame synced here.
    pub durable: Seq,
    /// Bytes kept on disk.
    pub bytes: u64,
    /// Bytes it may keep.
    pub budget_bytes: u64,
    /// Records dropped since the agent started.
    pub dropped: u64,
    /// Why the disk refuses, as long as it does.
    pub refused: Option<String>,
}

/// Where the uplink reads the frames of a lane: its spool, or the memory of a simulated agent.
pub trait Frames: Send + Sync {
    /// Durable frames from `from` on, in order: at least one if there is one, then as many as fit.
    ///
    /// # Errors
    /// [`ReadError`]: some are missing, or the disk does not answer.
    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Entry>, ReadError>;

    /// Oldest frame still kept.
    fn first(&self) -> Seq;
}

impl Frames for Reader {
    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        Reader::read(self, from.0, bytes_max)
    }

    fn first(&self) -> Seq {
        Seq(self.first_seq())
    }
}

/// Where one lane stands.
pub struct LaneBoard {
    /// Which lane.
    pub lane: Lane,
    /// Its stream.
    pub stream: StreamId,
    /// Told whenever `durable` moves or frames were dropped.
    pub changed: Notify,
    frames: Box<dyn Frames>,
    budget_bytes: u64,
    durable: AtomicU64,
    released: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    slow: Mutex<Slow>,
    thread: OnceLock<std::thread::Thread>,
}

/// What changes seldom.
#[derive(Default)]
struct Slow {
    refused: Option<String>,
    gaps: Vec<Dropped>,
    dicts: BTreeMap<u64, Arc<[u8]>>,
}

/// Gaps that wait to be reported. More are added up in the last one.
const GAPS_MAX: usize = 64;

impl LaneBoard {
    pub(super) fn new(lane: Lane, spool: &Spool, budget_bytes: u64) -> LaneBoard {
        let released = spool.cursor(super::UPLINK_CURSOR).unwrap_or(0);
        LaneBoard {
            budget_bytes,
            durable: AtomicU64::new(spool.durable_seq()),
            released: AtomicU64::new(released),
            bytes: AtomicU64::new(spool.usage().bytes),
            ..LaneBoard::without_spool(lane, super::stream_of(spool), Box::new(spool.reader()))
        }
    }

    /// The board of a lane whose frames lie elsewhere than in a spool. Nothing is durable yet.
    pub fn without_spool(lane: Lane, stream: StreamId, frames: Box<dyn Frames>) -> LaneBoard {
        LaneBoard {
            lane,
            stream,
            changed: Notify::new(),
            frames,
            budget_bytes: 0,
            durable: AtomicU64::new(0),
            released: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            slow: Mutex::default(),
            thread: OnceLock::new(),
        }
    }

    /// Frames up to `seq` may be sent.
    pub fn durable(&self, seq: Seq) {
        self.durable.store(seq.0, Ordering::Release);
        self.changed.notify_one();
    }

    /// Reads durable frames from `from` on. One reader for all calls: it remembers where it stopped.
    ///
    /// # Errors
    /// [`ReadError`]: some are missing, or the disk does not answer.
    pub fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        self.frames.read(from, bytes_max)
    }

    /// Oldest frame still kept.
    pub fn first(&self) -> Seq {
        self.frames.first()
    }

    /// A copy of everything.
    pub fn view(&self) -> LaneView {
        LaneView {
            lane: self.lane,
            stream: self.stream,
            released: Seq(self.released.load(Ordering::Acquire)),
            durable: Seq(self.durable.load(Ordering::Acquire)),
            bytes: self.bytes.load(Ordering::Relaxed),
            budget_bytes: self.budget_bytes,
            dropped: self.dropped.load(Ordering::Relaxed),
            refused: self.slow().refused.clone(),
        }
    }

    /// The whole frame of the dict with this number.
    pub fn dict(&self, number: u64) -> Option<Arc<[u8]>> {
        self.slow().dicts.get(&number).cloned()
    }

    /// Takes the gaps that have not been reported yet.
    pub fn take_gaps(&self) -> Vec<Dropped> {
        std::mem::take(&mut self.slow().gaps)
    }

    /// Gives back gaps that could not be told: they come again with the next [`take_gaps`](Self::take_gaps).
    pub fn put_back_gaps(&self, untold: Vec<Dropped>) {
        let gaps = &mut self.slow().gaps;
        let later = std::mem::take(gaps);
        for gap in untold.into_iter().chain(later) {
            remember(gaps, gap);
        }
    }

    /// Moves the release mark forward; says whether it moved.
    pub(super) fn release(&self, upto: Seq) -> bool {
        self.released.fetch_max(upto.0, Ordering::AcqRel) < upto.0
    }

    pub(super) fn released(&self) -> u64 {
        self.released.load(Ordering::Acquire)
    }

    pub(super) fn attach(&self, thread: std::thread::Thread) {
        let _ = self.thread.set(thread);
    }

    pub(super) fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Shows what is durable now; says whether the disk had refused before.
    pub(super) fn committed(&self, spool: &Spool) -> bool {
        self.bytes.store(spool.usage().bytes, Ordering::Relaxed);
        let refused = self.slow().refused.take();
        self.durable(Seq(spool.durable_seq()));
        refused.is_some()
    }

    pub(super) fn freed(&self, spool: &Spool) {
        self.bytes.store(spool.usage().bytes, Ordering::Relaxed);
    }

    /// Shows why the disk refuses; says whether that is news.
    pub(super) fn refused(&self, why: &str) -> bool {
        let refused = &mut self.slow().refused;
        let is_news = refused.as_deref() != Some(why);
        *refused = Some(why.to_owned());
        is_news
    }

    /// Counts a loss and keeps it for the next report.
    pub fn lost(&self, dropped: Dropped) {
        self.dropped.fetch_add(dropped.records, Ordering::Relaxed);
        remember(&mut self.slow().gaps, dropped);
        self.changed.notify_one();
    }

    pub(super) fn put_dict(&self, number: u64, frame: Arc<[u8]>) {
        self.slow().dicts.insert(number, frame);
    }

    /// Forgets the dicts no frame after `released` can need; says which.
    pub(super) fn retire_dicts(&self, released: u64) -> Vec<u64> {
        let dicts = &mut self.slow().dicts;
        // A dict serves until its successor's first frame: it is idle once that one is acked.
        let Some(current) = dicts.range(..=released + 1).next_back().map(|(number, _)| *number)
        else {
            return Vec::new();
        };
        let idle: Vec<u64> = dicts.range(..current).map(|(number, _)| *number).collect();
        for number in &idle {
            dicts.remove(number);
        }
        idle
    }

    fn slow(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a gap, to the last one when it has the same reason or there are [`GAPS_MAX`] already.
fn remember(gaps: &mut Vec<Dropped>, dropped: Dropped) {
    let is_full = gaps.len() >= GAPS_MAX;
    match gaps.last_mut() {
        Some(last) if last.why == dropped.why || is_full => {
            last.to = last.to.max(dropped.to);
            last.records += dropped.records;
        }
        _ => gaps.push(dropped),
    }
}
