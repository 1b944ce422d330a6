//! What the room counts. Written by its thread, read by anybody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::limits::{BEHIND_MAX, UNREADABLE_MAX};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Counters of the room. Cheap to write, read with [`LogStats::counts`].
        #[derive(Debug, Default)]
        pub struct LogStats {
            $($(#[$doc])* pub $name: AtomicU64,)+
            unreadable: Mutex<BTreeMap<PathBuf, String>>,
            behind: Mutex<Vec<(PathBuf, u64)>>,
        }

        /// What the counters said at one moment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct LogCounts {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl LogStats {
            /// All counters.
            pub fn counts(&self) -> LogCounts {
                LogCounts { $($name: self.$name.load(Relaxed),)+ }
            }
        }
    };
}

counts! {
    /// Lines handed to the spool.
    lines,
    /// Their bytes, before compression.
    bytes,
    /// Frames handed to the spool.
    frames,
    /// Files that are looked after (gauge).
    files_known,
    /// Files that are open (gauge).
    files_open,
    /// Directories that are watched (gauge).
    dirs_watched,
    /// Walks over all globs.
    scans,
    /// Times the kernel dropped events, or a watch was refused.
    watch_failures,
    /// Files that were truncated or overwritten and read from their beginning again.
    truncations,
    /// Copies of known files (copytruncate) that were recognised.
    copies,
    /// Lines over the limit that were cut.
    cut_lines,
    /// Lines without a newline taken from finished files.
    partial_lines,
    /// NUL bytes before lines that were skipped.
    nul_bytes,
    /// Files that vanished with bytes nobody had read.
    lost_files,
    /// At least this many of their bytes.
    lost_bytes,
    /// Checkpoints that could not be understood; their files are read from the beginning.
    checkpoints_damaged,
    /// Journal messages handed to the spool.
    journal_messages,
    /// Journal entries without a message or from our own unit.
    journal_skipped,
    /// Times the journal's child was started again.
    journal_restarts,
    /// Paths that cannot be read now (gauge).
    unreadable_paths,
    /// Blocks that could not be sealed.
    seal_failures,
}

impl LogStats {
    /// Paths that cannot be read and why; at most `UNREADABLE_MAX` of them.
    pub fn unreadable(&self) -> Vec<(PathBuf, String)> {
        let paths = self.unreadable.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        paths.iter().map(|(path, why)| (path.clone(), why.clone())).collect()
    }

    /// Files with bytes that are not read yet, and how many; the `BEHIND_MAX` with the most, the most first.
    pub fn behind(&self) -> Vec<(PathBuf, u64)> {
        self.behind.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub(super) fn tell_behind(&self, mut behind: Vec<(PathBuf, u64)>) {
        behind.sort_by(|(path, bytes), (other, more)| more.cmp(bytes).then(path.cmp(other)));
        behind.truncate(BEHIND_MAX);
        *self.behind.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = behind;
    }

    pub(super) fn is_unreadable(&self, path: &Path, why: &std::io::Error) {
        let mut paths = self.unreadable.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if paths.contains_key(path) {
            return;
        }
        tracing::warn!(path = %path.display(), why = %why, "Log path cannot be read.");
        if paths.len() < UNREADABLE_MAX {
            paths.insert(path.to_owned(), why.to_string());
            self.unreadable_paths.store(paths.len() as u64, Relaxed);
        }
    }

    pub(super) fn is_readable(&self, path: &Path) {
        if self.unreadable_paths.load(Relaxed) == 0 {
            return;
        }
        let mut paths = self.unreadable.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        paths.remove(path);
        self.unreadable_paths.store(paths.len() as u64, Relaxed);
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}
