//! Reading and judging log files that grow, rotate and vanish, and the journal.
//!
//! Room: `logs`.  May use: `proto`.  Used by: the agent's app.
//! Pure parts: `tail.rs` (bytes and inode facts in, positions out), `checkpoint.rs` (positions as
//! bytes), `export.rs` (journal export format), `settings.rs`.  Impure parts: `file.rs`, `walk.rs`,
//! `watch.rs`, `journald.rs`.  `reader.rs` puts them together; `thread.rs` is the thread around it.
//!
//! Invariants
//! - A position is handed out together with the lines before it, in one [`Batch`]. Whoever stores the
//!   two in one commit gets every line exactly once, whenever the process dies.
//! - A file is its device, its inode and its bytes: the first 1 KiB and the 4 KiB before the position.
//!   These 4 KiB are read again with every read, by the same system call; a truncation that was
//!   refilled is noticed before one byte of it is taken for the continuation.
//! - When in doubt a file is read from its beginning, never from its end.
//! - No line is an object. Memory is a few blocks, whatever the files are.
//! - Nothing here waits on the uplink: a full channel stops reading, and the files wait on disk.
//!
//! Absent on purpose: the spool, the clock in every part but `thread.rs`, async, libsystemd.

mod checkpoint;
mod export;
mod file;
mod files;
mod hash;
mod journald;
mod limits;
mod reader;
mod settings;
mod stats;
mod tail;
pub mod testing;
mod thread;
mod walk;
mod watch;

#[cfg(test)]
mod tests;

pub use checkpoint::Checkpoints;
pub use file::read_through;
pub use reader::{Batch, LogReader, Note, Outlet, Wait};
pub use settings::{ClassRule, FileSource, JournaldSource, LogSettings, SettingsError, Start};
pub use stats::{LogCounts, LogStats};
pub use thread::{LogHandle, LogThread, StartError};
