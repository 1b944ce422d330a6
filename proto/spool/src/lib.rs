//! A durable queue of sealed entries on disk: group commit, several cursors, crash-proof. std only.
//!
//! Room: `proto/spool`.  May use: std, crc32c.  Used by: `agent`, `aggregator`.
//! One writer ([`Spool`]) stages entries and notes and makes them durable with one sync a group; any
//! number of [`Reader`]s follow it. The bytes on disk are described in [`format`].
//!
//! Rooms inside, in reading order: `format` (bytes), `disk` (the verbs) and `real_disk`, `segment` (walking the
//! entries of one file), `notes` (the small map), `index` (what writer and readers share), `recover`
//! (what a directory holds), `replay`, `writer` with `group` and `outcome`, `release` (cursors, freeing, dropping), `stock` (files made beforehand), `reader`, `tool`.
//!
//! Invariants
//! - A seq is shown to a reader only after the sync that covers it returned without error.
//! - Data and notes of one commit come back together or not at all.
//! - Nothing live is ever changed in place; a file is freed whole, after the commit that released it.
//! - After a failed sync nothing of that group is assumed: it is written again into another file.
//! - Bytes on disk never panic, hang or fill memory, whatever they are.
//!
//! Absent on purpose: what an entry means, compression, clocks, threads, async, mmap.

#![forbid(unsafe_code)]

pub mod disk;
pub mod format;
mod group;
mod index;
mod limits;
mod notes;
mod outcome;
mod reader;
mod real_disk;
mod recover;
mod release;
mod replay;
mod segment;
mod stock;
pub mod testing;
pub mod tool;
mod writer;

pub use disk::{Disk, FileId};
pub use limits::{
    ENTRY_BYTES_MAX, NOTE_KEY_BYTES_MAX, NOTE_VALUE_BYTES_MAX, NOTES_BYTES_MAX,
    QUARANTINE_FILES_MAX, RECYCLE_FILES_MAX, RESERVE_BYTES, SEGMENT_BYTES, SEGMENT_BYTES_MIN,
    STAGED_BYTES_MAX, Settings,
};
pub use outcome::{AppendError, CommitError, Limit, Opened, Usage};
pub use reader::{Entry, ReadError, Reader};
pub use real_disk::RealDisk;
pub use recover::SpoolError;
pub use release::{CursorError, Dropped};
pub use writer::Spool;
