//! What a spool answers: errors, what opening found, how much it holds.
//!
//! Room: `spool`.  Used by: `writer`, `release`.

use std::io;

/// Why an entry or note was not taken. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A limit is reached; commit, release or drop, then try again.
    #[error("the spool is full: {bytes} bytes would pass {limit} of {limit_bytes}")]
    Full {
        /// Which limit.
        limit: Limit,
        /// What it would come to.
        bytes: u64,
        /// What is allowed.
        limit_bytes: u64,
    },
    /// It can never be taken.
    #[error("{bytes} bytes are longer than {bytes_max}")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The longest that is taken.
        bytes_max: u64,
    },
}

/// The limits that [`AppendError::Full`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes kept on disk: release or drop.
    Budget,
    /// Bytes staged in memory: commit.
    Staged,
    /// Bytes of all notes: remove some.
    Notes,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Limit::Budget => "the budget",
            Limit::Staged => "the staging limit",
            Limit::Notes => "the notes limit",
        })
    }
}

/// Why a commit failed. Everything staged is still staged: call again.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk is full (or the quota is).
    #[error("no room on the disk of the spool")]
    NoRoom {
        /// The system's own words.
        source: io::Error,
    },
    /// The file system is read-only.
    #[error("the disk of the spool is read-only")]
    ReadOnly {
        /// The system's own words.
        source: io::Error,
    },
    /// The disk failed; the next try goes to another file.
    #[error("cannot write to the spool")]
    Disk {
        /// The system's own words.
        source: io::Error,
    },
}

impl CommitError {
    pub(crate) fn of(source: io::Error) -> CommitError {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => CommitError::NoRoom { source },
            io::ErrorKind::ReadOnlyFilesystem => CommitError::ReadOnly { source },
            _ => CommitError::Disk { source },
        }
    }
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Nothing was there: the stream is the fresh one.
    pub is_new: bool,
    /// Entries kept.
    pub entries: u64,
    /// Segment files kept.
    pub segments: u64,
    /// Good entries behind the last commit, given up. Normal after a crash.
    pub discarded_entries: u64,
    /// Seqs known to be lost. Damage in older files is found by their readers.
    pub missing: Vec<(u64, u64)>,
    /// Segment headers that had to be rebuilt from their entries.
    pub rebuilt_headers: u64,
    /// Files put aside: of another stream, or without anything that parses.
    pub quarantined: u64,
    /// The newest file could not be synced; what is in it may not survive a power cut.
    pub is_unsynced: bool,
}

/// How much a spool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Durable entries kept.
    pub entries: u64,
    /// Bytes kept in segments, heads and notes included.
    pub bytes: u64,
    /// Bytes allowed.
    pub budget_bytes: u64,
    /// Segment files kept.
    pub segments: u64,
    /// Freed files waiting for reuse.
    pub free_segments: u64,
    /// Entries staged and not committed.
    pub staged_entries: u64,
    /// Bytes staged and not committed.
    pub staged_bytes: u64,
    /// Entries found missing since open, by recovery and by readers.
    pub missing_entries: u64,
    /// Entries dropped since open.
    pub dropped_entries: u64,
    /// Files put aside for study.
    pub quarantined: u64,
    /// The reserve for cursors is in place.
    pub has_reserve: bool,
}
