//! What the aggregator keeps: log lines, metrics and the state of the fleet, in SQLite files.
//!
//! Room: `stores`.  May use: `proto`.  Used by: the followers of the spool, the API, the roster.
//!
//! The aggregator's spool is the inbox and the write-ahead log. A store follows it: frames wait in
//! a head in memory, where they can be searched, until [`logs::LogStore::seal`] writes them as one
//! *part* into the files of their days. After a restart the frames that were not sealed come from
//! the spool again.
//!
//! ```text
//! logs/store.db  logs/<class>/YYYYMMDD.db     metrics/store.db  metrics/YYYYMMDD.db     state.db
//! ```
//!
//! Invariants
//! - A part is named by the range of spool seqs it holds. It is announced in `store.db` before the
//!   first day file is touched and has the same range when it is repeated after a crash, so that
//!   each day file takes it once (WAL mode is atomic per file only).
//! - A search sees each line once: it takes the head first and then leaves out parts that came later.
//! - Retention deletes whole files. A damaged file is moved aside; the rest serves.
//! - Nothing here asks the clock.
//!
//! Absent on purpose: who may read which class (the API passes the classes it grants), the network,
//! the order of frames in the spool.

pub mod day;
pub mod ledger;
pub mod logs;
pub mod metrics;
pub mod retention;
mod sealed;
mod sqlite;
pub mod state;
mod varint;

use std::io;
use std::path::PathBuf;

use muster_proto::frame::FrameError;

/// Who sent a frame: the name in the certificate, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostTag {
    /// Host name.
    pub host: String,
    /// Datacenter.
    pub datacenter: String,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the head and can be searched.
    Kept,
    /// It was there already, or is sealed; nothing changed.
    Repeat,
}

/// What one seal wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealReport {
    /// Last spool seq that is sealed; the follower's cursor may pass it.
    pub upto: u64,
    /// Lines or samples written.
    pub records: u64,
    /// Day files touched.
    pub files: u64,
    /// Bytes of the blocks written.
    pub bytes: u64,
}

/// A file that was moved aside because SQLite or a checksum says it is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where it stood.
    pub file: PathBuf,
    /// Where it stands now.
    pub moved_to: PathBuf,
    /// What was wrong.
    pub why: String,
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bytes are not a frame.
    #[error("cannot open the frame")]
    Frame(#[from] FrameError),
    /// The frame's body is not what its header says.
    #[error("cannot read the {what} in the frame of {host}")]
    Body {
        /// Log block, dict or scrapes.
        what: &'static str,
        /// Who sent it.
        host: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The frame belongs into another store.
    #[error("a {found} frame does not belong into the {store} store")]
    Kind {
        /// Which store.
        store: &'static str,
        /// What came.
        found: String,
    },
    /// Scrapes came before their dict.
    #[error("dict {number} of stream {stream} of {host} has not arrived")]
    NoDict {
        /// Who sent it.
        host: String,
        /// Its stream.
        stream: String,
        /// The missing dict.
        number: u64,
    },
    /// SQLite failed on a file.
    #[error("cannot use {}", file.display())]
    Sqlite {
        /// Which file.
        file: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file system failed.
    #[error("cannot use {}", path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The file was written by a newer Muster.
    #[error("{} has schema {found}, this version knows {known}", file.display())]
    Schema {
        /// Which file.
        file: PathBuf,
        /// What it has.
        found: u32,
        /// What we know.
        known: u32,
    },
    /// The head is full: seal, then offer the frame again.
    #[error("the head holds {bytes} bytes, over the limit of {limit}")]
    HeadFull {
        /// What it holds.
        bytes: u64,
        /// What it may hold.
        limit: u64,
    },
    /// A record cannot be written as CBOR or zstd; only memory running out does that.
    #[error("cannot encode {what}")]
    Encode {
        /// What.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A question asks for more than a store gives at once.
    #[error("the answer has more than {limit} {what}; ask for less")]
    TooMuch {
        /// Series, points, bytes.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// A question has a mistake.
    #[error("cannot understand {what}")]
    Question {
        /// Which part.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The writer stopped on purpose between two files: tests of crashes.
    #[cfg(test)]
    #[error("stopped between two files")]
    Stopped,
}

impl StoreError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::Io { path, source }
    }

    fn sqlite(file: impl Into<PathBuf>) -> impl FnOnce(rusqlite::Error) -> StoreError {
        let file = file.into();
        move |source| StoreError::Sqlite { file, source }
    }

    /// True when the file itself is bad, not the moment.
    fn is_damage(&self) -> bool {
        matches!(self, StoreError::Sqlite { source, .. } if sqlite::is_damage(source))
    }
}
