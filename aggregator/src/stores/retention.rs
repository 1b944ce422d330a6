//! What goes when: day files that are too old or too many, and what to do when the disk fills.
//!
//! Room: `stores`.  May use: nobody.  Used by: the stores, the app.
//!
//! The decisions are pure; [`room`] asks the kernel, `remove` does it.

use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::day::{self, Day, DayFile};

/// Below this share of free space the oldest days are dropped.
pub const ROOM_LOW: f64 = 0.10;
/// At this share of free space nothing more is acked: agents keep what they have, or go elsewhere.
pub const ROOM_NONE: f64 = 0.05;
/// Above this share of free space acking goes on. Wider than [`ROOM_NONE`], so that it does not flap.
pub const ROOM_AGAIN: f64 = 0.07;

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

/// Removes the files of a class, and adds them to `removed` one by one.
///
/// # Errors
/// [`StoreError::Io`]; what was removed before it stays removed.
pub(super) fn remove(
    class: &str,
    gone: Vec<(DayFile, Gone)>,
    removed: &mut Vec<Removed>,
) -> Result<(), StoreError> {
    for (DayFile { day, path, bytes }, why) in gone {
        day::remove_day(&path).map_err(StoreError::io(&path))?;
        removed.push(Removed { class: class.to_string(), file: path, day, bytes, why });
    }
    Ok(())
}

/// What the free space allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Room {
    /// Enough.
    #[default]
    Enough,
    /// At most [`ROOM_LOW`]: drop the oldest day and tell somebody.
    DropOldest,
    /// At most [`ROOM_NONE`]: drop, and stop acking until more than [`ROOM_AGAIN`] is free.
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

/// What to do at this share of free space. `before`: what was done until now.
pub fn decide_room(fraction: f64, before: Room) -> Room {
    let stop_at = if before == Room::StopAcking { ROOM_AGAIN } else { ROOM_NONE };
    if fraction <= stop_at {
        Room::StopAcking
    } else if fraction <= ROOM_LOW {
        Room::DropOldest
    } else {
        Room::Enough
    }
}

/// The share of the file system under `folder` that is free for us, of what we can fill: 0.0 = full, 1.0 = empty.
/// Blocks kept for root count as neither, as in df(1) and in the agent's `fs.space`.
///
/// # Errors
/// What statvfs(3) says.
pub fn room(folder: &Path) -> io::Result<f64> {
    let stat = nix::sys::statvfs::statvfs(folder).map_err(io::Error::from)?;
    let used = stat.blocks().saturating_sub(stat.blocks_free());
    let (free, fillable) = (stat.blocks_available(), used.saturating_add(stat.blocks_available()));
    Ok(if fillable > 0 { free as f64 / fillable as f64 } else { 1.0 })
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
        use Room::{DropOldest, Enough, StopAcking};
        let mut now = Enough;
        let falling_and_rising = [0.5, 0.11, 0.10, 0.06, 0.05, 0.0, 0.06, 0.07, 0.08, 0.06, 0.12];
        let steps = falling_and_rising.map(|free| {
            now = decide_room(free, now);
            now
        });
        let stopped = [StopAcking; 4];
        assert_eq!(steps[..4], [Enough, Enough, DropOldest, DropOldest]);
        assert_eq!(steps[4..8], stopped, "stops at 5 %, and goes on above 7 % only");
        assert_eq!(steps[8..], [DropOldest, DropOldest, Enough]);
        let folder = tempfile::tempdir().unwrap();
        assert!((0.0..=1.0).contains(&room(folder.path()).unwrap()));
    }
}
