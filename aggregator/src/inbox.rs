//! The inbox: what arrived, on disk and synced, before anybody looks inside. Also the write-ahead log.
//!
//! Room: `aggregator::inbox`.  May use: `proto`, `spool`.  Used by: `intake`, `follow`, `app`.
//!
//! ```text
//! intake ─ Arrival ─→ bounded channel ─→ one thread per lane: drop repeats, append, group sync
//!                                             │ Stored → the connection acks
//!                                             └ durable ─→ followers (stores), each with its cursor
//! ```
//!
//! An entry of the spool is `host_len u8 | host | dc_len u8 | datacenter | frame`. The frame stands
//! byte for byte as the agent sealed it.
//!
//! Invariants
//! - `Stored` is said only after the sync that covers the frame and its mark.
//! - A mark (how far a stream has come, [`muster_proto::talk::marks`]) is a note in the same commit as
//!   the frame, so that a repeat is recognised after a crash, over whichever connection it comes.
//! - While it is held ([`InboxBoard::hold`]: the disk is nearly full) nothing is taken from the channel.
//! - When the disk refuses, the thread keeps what it has and tries again; the channel fills, intake
//!   stops reading, agents keep their frames or go elsewhere. Nothing exits, nothing is lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use muster_program::pulse::Beat;
use muster_proto::frame::Header;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_spool::{CursorError, RealDisk, Settings, Spool, SpoolError};
use tokio::sync::mpsc;

mod board;
mod entry;
mod keeper;

pub use board::InboxBoard;
pub use entry::{Entry, NotAnEntry};

/// The lanes an aggregator takes in, the most urgent first.
pub const LANES: [Lane; 3] = [Lane::State, Lane::Metrics, Lane::Logs];
/// Frames that wait for one lane's thread.
pub const INBOX_QUEUE_MAX: usize = 256;

/// One frame from one connection.
pub struct Arrival {
    /// Host name of the certificate.
    pub host: Arc<str>,
    /// Datacenter the host stands in.
    pub datacenter: Arc<str>,
    /// Parsed header of the frame.
    pub header: Header,
    /// The whole frame.
    pub frame: Bytes,
    /// Where to say that it is stored.
    pub stored: mpsc::UnboundedSender<Stored>,
}

/// "This frame, or a later one of its stream, is on disk, synced."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Which lane.
    pub lane: Lane,
    /// Which stream.
    pub stream: StreamId,
    /// Last seq of it that is durable. Dicts are not confirmed.
    pub seq: Seq,
}

/// An opened inbox lane that nobody drives yet.
pub struct ClosedInbox {
    lane: Lane,
    spool: Spool,
    board: Arc<InboxBoard>,
}

/// A running inbox lane. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    /// Where it stands.
    pub board: Arc<InboxBoard>,
    sender: mpsc::Sender<Arrival>,
}

/// Why the spool of a lane cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
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

impl ClosedInbox {
    /// Opens or makes the inbox of `lane`; `cursors` are the followers that must have read an entry
    /// before it is freed.
    ///
    /// # Errors
    /// [`InboxError::Open`]: locked by another process, unreadable, not a spool.
    pub fn open(
        state_dir: &Path,
        lane: Lane,
        budget_bytes: u64,
        cursors: &[&'static str],
    ) -> Result<ClosedInbox, InboxError> {
        let failed = |source| InboxError::Open { lane, source };
        let disk = RealDisk::open(&spool_dir(state_dir, lane)).map_err(failed)?;
        let segment_bytes = (budget_bytes / 16).clamp(4 * 1024 * 1024, 64 * 1024 * 1024);
        let settings = Settings { segment_bytes, ..Settings::with_budget(budget_bytes) };
        let fresh: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let (mut spool, _) = Spool::open(Arc::new(disk), settings, fresh).map_err(failed)?;
        for cursor in cursors {
            if spool.cursor(cursor).is_none() {
                let from = spool.first_seq();
                spool
                    .add_cursor(cursor, from)
                    .map_err(|source| InboxError::Cursor { lane, source })?;
            }
        }
        let board = Arc::new(InboxBoard::new(lane, &spool, cursors, budget_bytes));
        Ok(ClosedInbox { lane, spool, board })
    }

    /// Which lane.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// The inbox's own stream.
    pub fn stream(&self) -> StreamId {
        self.board.stream
    }

    /// Starts the lane's thread, which keeps `beat`. It ends when every handle is gone.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn start(self, beat: Beat) -> std::io::Result<(Inbox, JoinHandle<()>)> {
        let (sender, receiver) = mpsc::channel(INBOX_QUEUE_MAX);
        let board = self.board.clone();
        let keeper = keeper::Keeper::new(self.spool, self.board, receiver, beat);
        let thread = std::thread::Builder::new()
            .name(format!("inbox-{}", self.lane))
            .spawn(move || keeper.run())?;
        board.attach(thread.thread().clone());
        Ok((Inbox { board, sender }, thread))
    }
}

impl Inbox {
    /// Hands over a frame; waits while the queue is full.
    ///
    /// # Errors
    /// Gives the arrival back when the lane's thread is gone.
    pub async fn put(&self, arrival: Arrival) -> Result<(), Arrival> {
        self.sender.send(arrival).await.map_err(|unsent| unsent.0)
    }
}

/// The folder of an inbox lane's spool.
pub fn spool_dir(state_dir: &Path, lane: Lane) -> PathBuf {
    state_dir.join("inbox").join(lane.name())
}
