//! Every limit of the room, with its unit and its reason.

use std::time::Duration;

/// First bytes of a file that belong to its identity.
pub(super) const HEAD_BYTES: usize = 1024;
/// Bytes before the position that are compared with every read.
pub(super) const TAIL_BYTES: usize = 4096;
/// What one file may give before the next one has its turn. Bytes.
pub(super) const TURN_BYTES: u64 = 1024 * 1024;
/// Files held open that could be opened again by their path.
pub(super) const FILES_OPEN_MAX: usize = 128;
/// Deleted files held open until they are read. Beyond it the oldest is given up, counted as lost.
pub(super) const DELETED_OPEN_MAX: usize = 128;
/// A file that did not grow for this long is closed.
pub(super) const IDLE_CLOSE: Duration = Duration::from_secs(60);
/// A rotated or deleted file at its end that did not grow for this long is finished.
pub(super) const QUIET: Duration = Duration::from_secs(5);
/// A rotated file that is still on disk is looked after for this long after its last line.
pub(super) const ROTATED_KEEP: Duration = Duration::from_secs(3600);
/// A file that may be half a copy of another one is left alone for this long.
pub(super) const COPY_WAIT: Duration = Duration::from_secs(20);
/// The checkpoint of a file that is gone is kept for this long: it may come back with a mount.
pub(super) const PARKED_KEEP: Duration = Duration::from_secs(24 * 3600);
/// Checkpoints of files that are gone.
pub(super) const PARKED_MAX: usize = 10_000;
/// Directory entries looked at in one scan.
pub(super) const WALK_ENTRIES_MAX: usize = 200_000;
/// Directories below a `**`.
pub(super) const WALK_DEPTH_MAX: usize = 16;
/// Directories watched. Those beyond it are only scanned.
pub(super) const WATCH_DIRS_MAX: usize = 4096;
/// Paths that wait to be looked at. Beyond it everything is looked at.
pub(super) const WATCH_PATHS_MAX: usize = 16_384;
/// Events of one directory in one second. A busier directory is not watched for a while: its files
/// grow anyway, and an event for each write would cost more than reading them.
pub(super) const WATCH_EVENTS_MAX: u32 = 2_000;
/// How long a busy directory is looked at on a timer instead.
pub(super) const BUSY_KEEP: Duration = Duration::from_secs(10);
/// How often the files of a busy directory are looked at.
pub(super) const BUSY_LOOK: Duration = Duration::from_millis(100);
/// All globs are walked at least this often, events or not.
pub(super) const SCAN_EVERY: Duration = Duration::from_secs(10);
/// The same when directories cannot be watched.
pub(super) const SCAN_BLIND: Duration = Duration::from_secs(1);
/// A scan that an event asks for comes this much after the last one at the earliest.
pub(super) const SCAN_GAP: Duration = Duration::from_millis(200);
/// What one directory entry of a scan costs; scans are spaced so that they take 1/1000 of a
/// processor, or 1/50 when there is news.
pub(super) const SCAN_ENTRY_COST: Duration = Duration::from_micros(2);
/// A block is sealed when its oldest line has waited this long.
pub(super) const LINGER: Duration = Duration::from_millis(200);
/// The same when there is nothing more to read.
pub(super) const LINGER_IDLE: Duration = Duration::from_millis(100);
/// Shortest sleep between two rounds of reading, so that a trickle does not wake us for each line.
pub(super) const PACE: Duration = Duration::from_millis(20);
/// How long to wait before a full channel is tried again.
pub(super) const FULL_WAIT: Duration = Duration::from_millis(20);
/// How often files that are finishing are looked at.
pub(super) const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// How long a stopping thread tries to hand over its last block.
pub(super) const STOP_WAIT: Duration = Duration::from_secs(2);
/// Unreadable paths that are named; more are only counted.
pub(super) const UNREADABLE_MAX: usize = 64;
/// How often it is told how far the files are behind.
pub(super) const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// Files that are named with what is unread in them.
pub(super) const BEHIND_MAX: usize = 64;
/// A stored name or path. Bytes.
pub(super) const PATH_BYTES_MAX: usize = 4096;
/// What is read from the journal's child at a time. Bytes.
pub(super) const JOURNAL_READ_BYTES: usize = 64 * 1024;
/// Journal fields other than the message: unit, identifier, cursor. Bytes.
pub(super) const JOURNAL_FIELD_BYTES_MAX: usize = 1024;
/// First and longest wait before the journal's child is started again.
pub(super) const JOURNAL_BACKOFF: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(60));
/// A child that lived this long was healthy.
pub(super) const JOURNAL_HEALTHY: Duration = Duration::from_secs(60);

const _: () = assert!(HEAD_BYTES <= TAIL_BYTES);
const _: () = assert!(JOURNAL_READ_BYTES <= muster_proto::limits::LOG_READ_BYTES);
