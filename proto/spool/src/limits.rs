//! Every limit of the spool, with its unit and its reason.

use crate::format::{ENTRY_HEAD_BYTES, HEADER_BYTES};

/// One segment file. Bytes. Freed whole, so also the grain of disk reuse.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// The smallest segment file. Bytes. Below it a group and the notes would not fit side by side.
pub const SEGMENT_BYTES_MIN: u64 = 4 * 1024;
/// The largest segment file. Bytes. Recovery reads one of these at start.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Entries and notes staged and not yet committed. Bytes. They stay in memory so that a failed sync
/// can be answered by writing them again.
pub const STAGED_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// One entry. Bytes. Four times the largest frame.
pub const ENTRY_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// One key of a note. Bytes.
pub const NOTE_KEY_BYTES_MAX: usize = 4096;
/// One value of a note. Bytes.
pub const NOTE_VALUE_BYTES_MAX: usize = 256 * 1024;
/// All live notes together, encoded. Bytes. They are written once into every segment.
pub const NOTES_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Body of any entry that is believed when read back. Bytes.
pub(crate) const BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Zeroes kept on disk so that cursors can be committed when there is no room. Bytes.
pub const RESERVE_BYTES: u64 = 1024 * 1024;
/// Freed files kept for reuse. Files.
pub const RECYCLE_FILES_MAX: usize = 4;
/// Damaged files kept aside for study. Files. More are recycled, so a dying disk does not fill up.
pub const QUARANTINE_FILES_MAX: usize = 4;
/// One read of the scanner. Bytes. Small enough to stay in the processor's cache.
pub(crate) const WINDOW_BYTES: usize = 256 * 1024;
/// Distance of two remembered places inside a segment. Bytes.
pub(crate) const PLACE_BYTES: u64 = 256 * 1024;
/// Bytes checksummed while looking for the next good entry in one segment, before giving it up.
/// Bodies full of false entry heads would otherwise cost the square of their length.
pub(crate) const RESYNC_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The largest seq and the largest id of a file that are believed. At a million a second it is reached
/// after 146 000 years, so a larger one is damage, and sums of two never overflow.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;
/// Bytes of one file that are looked at. A longer file is not ours beyond that.
pub(crate) const FILE_BYTES_MAX: u64 = SEGMENT_BYTES_MAX + BODY_BYTES_MAX;
/// Unreadable blocks are skipped in steps of this. Bytes. One page.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Ranges of missing seqs remembered for counting. Ranges.
pub(crate) const MISSING_RANGES_MAX: usize = 4096;

const _: () = assert!(ENTRY_BYTES_MAX < STAGED_BYTES_MAX);
const _: () = assert!(STAGED_BYTES_MAX <= SEGMENT_BYTES / 2);
const _: () = assert!(2 * NOTES_BYTES_MAX < BODY_BYTES_MAX);

/// How big a spool may be and how it uses the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Size of one segment file, in bytes. Default 16 MiB.
    /// Brought into 4 KiB..=1 GiB. Smaller frees disk in smaller steps; larger costs start time.
    pub segment_bytes: u64,
    /// Bytes kept in segments before `append` answers [`Full`](crate::AppendError::Full).
    /// The reserve and the recycled files come on top: at most `reserve_bytes + recycle_max × segment_bytes`.
    pub budget_bytes: u64,
    /// Zeroes kept on disk so that cursors can be committed when there is no room, in bytes.
    /// Default 1 MiB. `0` keeps none.
    pub reserve_bytes: u64,
    /// Freed files kept for reuse. Default 4. `0` removes every freed file; syncing is then slower.
    pub recycle_max: usize,
    /// Whole files made beforehand, so that a full disk does not stop the spool at once. Default 0.
    /// They count as files kept for reuse; a spool with a stock needs no reserve.
    pub stock_files: usize,
}

impl Settings {
    /// The defaults with this budget.
    pub fn with_budget(budget_bytes: u64) -> Settings {
        Settings {
            segment_bytes: SEGMENT_BYTES,
            budget_bytes,
            reserve_bytes: RESERVE_BYTES,
            recycle_max: RECYCLE_FILES_MAX,
            stock_files: 0,
        }
    }

    pub(crate) fn bounded(mut self) -> Settings {
        self.segment_bytes = self.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX) / 8 * 8;
        self.reserve_bytes = self.reserve_bytes.min(SEGMENT_BYTES);
        self.recycle_max = self.recycle_max.max(self.stock_files);
        self
    }

    /// Longest entry that `append` takes, in bytes.
    pub fn entry_bytes_max(&self) -> u64 {
        ENTRY_BYTES_MAX.min(self.bounded().segment_bytes / 4)
    }

    /// Most bytes staged between two commits.
    pub fn staged_bytes_max(&self) -> u64 {
        STAGED_BYTES_MAX.min(self.bounded().segment_bytes / 2)
    }

    /// Most bytes of all live notes and cursors, encoded.
    pub fn notes_bytes_max(&self) -> u64 {
        NOTES_BYTES_MAX.min(self.bounded().segment_bytes / 8)
    }
}

// A fresh segment always takes the header, one full group and all notes (changed ones count twice).
const _: () = assert!(
    HEADER_BYTES + SEGMENT_BYTES_MIN / 2 + SEGMENT_BYTES_MIN / 4 + 8 * ENTRY_HEAD_BYTES
        <= SEGMENT_BYTES_MIN
);
