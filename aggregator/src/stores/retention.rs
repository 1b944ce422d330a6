//! What goes when: day files that are too old or too many, and what to do when the disk fills.
//!
//! Room: `stores`.  May use: nobody.  Used by: the stores, the app.
//!
//! The decisions are pure; [`room`] asks the kernel.

use std::io;
use std::path::{Path, PathBuf};

use super::day::{Day, DayFile};

/// Below this share of free space the oldest days are dropped.
pub const ROOM_LOW: f64 = 0.10;
/// Below this share of free space nothing more is acked: agents keep what they have.
pub const ROOM_NONE: f64 = 0.05;

/// How long, and how much, of a class or of the metrics is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Whole days, today not counted. A file goes when its day lies further back.
    pub days: u32,
    /// Bytes of all day files; the oldest go first, today's stays. `None` = no limit.
    pub bytes: Option<u64>,
}

/// Why a day file was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It was older than its class keeps.
    Age,
    /// Its class has more bytes than it may.
    Bytes,
    /// The disk was nearly full.
    Room,
}

/// A day file that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Class; empty for metrics.
    pub class: String,
    /// The file.
    pub file: PathBuf,
    /// Its day.
    pub day: Day,
    /// What it took. Bytes.
    pub bytes: u64,
    /// Why.
    pub why: Gone,
}

/// What the free space allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Enough.
    Enough,
    /// At most [`ROOM_LOW`]: drop the oldest day and tell somebody.
    DropOldest,
    /// At most [`ROOM_NONE`]: drop, and stop acking until there is room.
    StopAcking,
}

/// Which of a folder's days go. `days` is sorted, oldest first.
pub fn decide_removals(days: &[DayFile], keep: Keep, today: Day) -> Vec<(DayFile, Gone)> {
    let mut total: u64 = days.iter().map(|file| file.bytes).sum();
    let mut gone = Vec::new();
    for file in days {
        let is_old = file.day.0 < today.0 - i64::from(keep.days);
        let is_much = keep.bytes.is_some_and(|max| total > max) && file.day < today;
        if is_old || is_much {
            total -= file.bytes;
            gone.push((file.clone(), if is_old { Gone::Age } else { Gone::Bytes }));
        }
    }
    gone
}

/// What to do at this share of free space.
pub fn decide_room(fraction: f64) -> Room {
    if fraction <= ROOM_NONE {
        Room::StopAcking
    } else if fraction <= ROOM_LOW {
        Room::DropOldest
    } else {
        Room::Enough
    }
}

/// The share of the file system under `folder` that is free for us: 0.0 = full, 1.0 = empty.
///
/// # Errors
/// What statvfs(3) says.
pub fn room(folder: &Path) -> io::Result<f64> {
    let stat = nix::sys::statvfs::statvfs(folder).map_err(io::Error::from)?;
    let total = stat.blocks() as f64;
    Ok(if total > 0.0 { stat.blocks_available() as f64 / total } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u64], keep: Keep, expected: &[(i64, Gone)]) {
        let days: Vec<_> = bytes
            .iter()
            .enumerate()
            .map(|(n, bytes)| DayFile {
                day: Day(100 + n as i64),
                path: PathBuf::new(),
                bytes: *bytes,
            })
            .collect();
        let gone: Vec<_> = decide_removals(&days, keep, Day(100 + bytes.len() as i64 - 1))
            .into_iter()
            .map(|(file, why)| (file.day.0, why))
            .collect();
        assert_eq!(gone, expected);
    }

    #[test]
    fn the_oldest_go_by_age_then_by_bytes() {
        check(&[5, 5, 5], Keep { days: 2, bytes: None }, &[]);
        check(&[5, 5, 5], Keep { days: 1, bytes: None }, &[(100, Gone::Age)]);
        check(&[5, 5, 5], Keep { days: 9, bytes: Some(10) }, &[(100, Gone::Bytes)]);
        let both = [(100, Gone::Age), (101, Gone::Bytes)];
        check(&[5, 5, 5], Keep { days: 1, bytes: Some(7) }, &both);
        check(&[5], Keep { days: 0, bytes: Some(0) }, &[]);
    }

    #[test]
    fn the_disk_is_guarded_in_two_steps() {
        let steps = [0.5, 0.11, 0.10, 0.06, 0.05, 0.0].map(decide_room);
        use Room::{DropOldest, Enough, StopAcking};
        assert_eq!(steps, [Enough, Enough, DropOldest, DropOldest, StopAcking, StopAcking]);
        let folder = tempfile::tempdir().unwrap();
        assert!((0.0..=1.0).contains(&room(folder.path()).unwrap()));
    }
}
