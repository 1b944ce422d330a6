//! Lanes: from sealed bodies to frames on disk, one plain thread and one spool per lane.
//!
//! Room: `agent::lanes`.  May use: `proto`, `spool`.  Used by: `app`, `report`, `logs`, `uplink`.
//!
//! ```text
//! source ─ Deposit ─→ bounded channel ─→ thread: stamp, append, group commit ─→ LaneBoard ─→ uplink
//!                                            ↑ release (atomic + unpark) ────────────────────┘
//! ```
//!
//! Invariants
//! - A frame and the notes (source checkpoints) that come with it are in the same commit.
//! - Nothing is sent before it is durable here: the board's `durable` moves after the sync.
//! - When the disk refuses, the thread keeps what it has and tries again; it never exits for that.
//!   `rule.rs` says which lane gathers, drops its oldest or lets its source wait meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use muster_program::pulse::Beat;
use muster_proto::frame::Sealed;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_spool::{CursorError, RealDisk, Settings, Spool, SpoolError};
use tokio::sync::oneshot;

use crate::logs::{Batch, Outlet};

mod board;
mod dicts;
mod keeper;
mod rule;

pub use board::{Dropped, Frames, LaneBoard, LaneView};

/// Deposits that wait for one lane's thread. Small: each may be a whole 256 KiB block.
pub const LANE_QUEUE_MAX: usize = 4;
/// The lanes an agent has today, the most urgent first.
pub const LANES: [Lane; 3] = [Lane::State, Lane::Metrics, Lane::Logs];
/// Cursor of the uplink in every lane's spool.
pub const UPLINK_CURSOR: &str = "uplink";

/// What a source hands to its lane: a body, and what must become durable together with it.
#[derive(Debug)]
pub struct Deposit {
    /// The frame's body; `None` when only checkpoints moved.
    pub sealed: Option<Sealed>,
    /// A dict that this and the following bodies need.
    pub dict: Option<Sealed>,
    /// Checkpoints: key and new value, or `None` to remove.
    pub notes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What travels to a lane's thread.
#[derive(Debug)]
pub enum ToLane {
    /// Keep this.
    Deposit(Deposit),
    /// Look at the board: something was released.
    Wake,
    /// Write what was taken so far, however young it is, then say so.
    Flush(oneshot::Sender<()>),
}

/// The lane takes nothing now: its disk refuses, or it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lane has no room")]
pub struct NoRoom;

/// An opened lane that nobody drives yet.
pub struct ClosedLane {
    lane: Lane,
    spool: Spool,
    board: Arc<LaneBoard>,
}

/// The handle of a running lane. Cheap to clone.
#[derive(Clone)]
pub struct LaneHandle {
    /// Where it stands.
    pub board: Arc<LaneBoard>,
    sender: SyncSender<ToLane>,
}

/// Why the spool of a lane cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// It cannot be opened.
    #[error("cannot open the spool of lane {lane}")]
    Open {
        /// Which lane.
        lane: Lane,
        /// Why.
        source: SpoolError,
    },
    /// A cursor cannot be placed.
    #[error("cannot place a cursor in the spool of lane {lane}")]
    Cursor {
        /// Which lane.
        lane: Lane,
        /// Why.
        source: CursorError,
    },
}

impl ClosedLane {
    /// Opens or makes the spool of `lane` below `state_dir`.
    ///
    /// # Errors
    /// [`LaneError::Open`]: locked by another process, unreadable, not a spool.
    pub fn open(state_dir: &Path, lane: Lane, budget_bytes: u64) -> Result<ClosedLane, LaneError> {
        let failed = |source| LaneError::Open { lane, source };
        let disk = RealDisk::open(&spool_dir(state_dir, lane)).map_err(failed)?;
        let settings = settings(lane, budget_bytes);
        let fresh: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let (mut spool, _) = Spool::open(Arc::new(disk), settings, fresh).map_err(failed)?;
        if spool.cursor(UPLINK_CURSOR).is_none() {
            let from = spool.first_seq();
            spool
                .add_cursor(UPLINK_CURSOR, from)
                .map_err(|source| LaneError::Cursor { lane, source })?;
        }
        let board = LaneBoard::new(lane, &spool, budget_bytes);
        Ok(ClosedLane { lane, spool, board: Arc::new(board) })
    }

    /// The notes that were committed, for sources to find their place again.
    pub fn notes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spool.notes()
    }

    /// Starts the lane's thread, which keeps `beat`. It ends when every handle is gone.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn start(self, beat: Beat) -> std::io::Result<(LaneHandle, JoinHandle<()>)> {
        let (sender, receiver): (_, Receiver<ToLane>) = sync_channel(LANE_QUEUE_MAX);
        let board = self.board.clone();
        let keeper = keeper::Keeper::new(self.lane, self.spool, self.board, beat);
        let thread = std::thread::Builder::new()
            .name(format!("lane-{}", self.lane))
            .spawn(move || keeper.run(&receiver))?;
        board.attach(thread.thread().clone());
        Ok((LaneHandle { board, sender }, thread))
    }
}

impl LaneHandle {
    /// A lane without a thread: it takes no deposits, and the board's owner moves it.
    pub fn without_thread(board: Arc<LaneBoard>) -> LaneHandle {
        let (sender, _) = sync_channel(0);
        LaneHandle { board, sender }
    }

    /// Hands over a deposit without waiting.
    ///
    /// # Errors
    /// [`NoRoom`] when the lane's queue is full or its thread is gone; the deposit is dropped.
    pub fn try_deposit(&self, deposit: Deposit) -> Result<(), NoRoom> {
        self.sender.try_send(ToLane::Deposit(deposit)).map_err(|_| NoRoom)
    }

    /// Asks for everything deposited so far to be written now; done, or given up, when the answer comes. `None`
    /// when the lane's queue is full: its disk refuses then.
    pub fn flush(&self) -> Option<oneshot::Receiver<()>> {
        let (done, flushed) = oneshot::channel();
        self.sender.try_send(ToLane::Flush(done)).ok().map(|()| flushed)
    }

    /// Frames up to and including `upto` are durable at an aggregator.
    pub fn release(&self, upto: Seq) {
        if self.board.release(upto) {
            // A full queue means that the thread is awake and will look at the board anyway.
            let _ = self.sender.try_send(ToLane::Wake);
            self.board.unpark();
        }
    }
}

/// The folder of a lane's spool.
pub fn spool_dir(state_dir: &Path, lane: Lane) -> PathBuf {
    state_dir.join("spool").join(lane.name())
}

fn settings(lane: Lane, budget_bytes: u64) -> Settings {
    const MIB: u64 = 1024 * 1024;
    let base = Settings { recycle_max: 4, ..Settings::with_budget(budget_bytes) };
    match lane {
        // What says that the disk is full must not need the disk: this lane writes into files that are
        // there already. Two of them hold hours of heartbeats and transitions that nobody acks.
        Lane::State => {
            Settings { segment_bytes: 4 * MIB, reserve_bytes: 0, stock_files: 2, ..base }
        }
        // One file in stock: with a full disk there is always an older file to give up for the new frames.
        Lane::Metrics => {
            Settings { segment_bytes: 8 * MIB, reserve_bytes: 0, stock_files: 1, ..base }
        }
        Lane::Logs | Lane::Bulk => base,
    }
}

/// The stream of a spool as the wire names it.
pub(crate) fn stream_of(spool: &Spool) -> StreamId {
    StreamId(spool.stream())
}

impl Outlet for LaneHandle {
    fn try_send(&self, batch: Batch) -> Result<(), TrySendError<Batch>> {
        let Batch { sealed, notes } = batch;
        let deposit = Deposit { sealed, dict: None, notes };
        self.sender.try_send(ToLane::Deposit(deposit)).map_err(|error| match error {
            TrySendError::Full(ToLane::Deposit(back)) => TrySendError::Full(batch_of(back)),
            TrySendError::Disconnected(ToLane::Deposit(back)) => {
                TrySendError::Disconnected(batch_of(back))
            }
            TrySendError::Full(_) | TrySendError::Disconnected(_) => {
                unreachable!("a deposit was sent")
            }
        })
    }
}

fn batch_of(deposit: Deposit) -> Batch {
    Batch { sealed: deposit.sealed, notes: deposit.notes }
}
