//! The log store: takes log frames, seals them into day files, searches both.
//!
//! Room: `stores/logs`.  May use: `proto`.  Used by: the follower of the log spool, the API.
//!
//! One follower takes and seals; any number of threads search. A search blocks its thread, never the
//! follower: it holds the head's lock only while it copies the list of frames, and reads the files
//! through connections of its own.
//!
//! Invariants
//! - A line is in the head or in a visible part, never in both and never in neither: the seal moves
//!   the head's mark `upto` under the same lock as the frames, and parts beyond the mark of the
//!   search's snapshot are not looked at.
//! - Frames at or below the mark are repeats. A seal that a crash cut short is repeated with the
//!   same range before anything else is sealed.

mod block;
mod bloom;
mod file;
mod head;
mod line;
mod query;
mod seal;
mod search;
mod shapes;
pub mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::ids::StreamId;

pub use line::{FLAG_CLAMPED, LineKey, LineSource, LogHit, class_name};
pub use query::{LogQuery, Order};
pub use search::{Budget, SearchEnd, Truncated};

use super::day::{self, Day, day_path, list_days};
use super::ledger::{Ledger, Range};
use super::retention::{Gone, Keep, Removed, decide_removals};
use super::{Damage, HostTag, SealReport, StoreError, Taken, sqlite};
use file::{DayReader, Horizon};
use head::{Belief, Decoder, Head, HeadFrame};
use query::Plan;
use seal::{Sealer, Sorted};
use search::{DayPath, Search, Snapshot};

/// How a log store works.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Bytes of lines in the head before a seal is due. Default 64 MiB; twice as many are refused.
    pub head_bytes: u64,
    /// Age of the oldest frame in the head before a seal is due. Default 15 minutes.
    pub head_age: Duration,
    /// Text in one block. Bytes. Default 512 KiB, at most 4 MiB.
    pub block_bytes: usize,
    /// zstd level of blocks. Default 1: level 3 saves 0.3 % and costs a third more time.
    pub zstd_level: i32,
    /// Classes, so folders. Default 64; lines of further ones get the class `overflow`.
    pub classes_max: usize,
    /// Lines older than this at receipt get the time of receipt and [`FLAG_CLAMPED`]. Default 400 days.
    pub past: Duration,
    /// Lines further in the future than this, likewise. Default 1 day.
    pub future: Duration,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        const DAY: Duration = Duration::from_secs(86_400);
        LogSettings {
            head_bytes: 64 * 1024 * 1024,
            head_age: Duration::from_secs(15 * 60),
            block_bytes: 512 * 1024,
            zstd_level: 1,
            classes_max: 64,
            past: DAY * 400,
            future: DAY,
        }
    }
}

/// The text of a block may not reach what a section may inflate to.
const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the store holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogUsage {
    /// Frames in the head.
    pub head_frames: u64,
    /// What they take. Bytes.
    pub head_bytes: u64,
    /// Day files.
    pub files: u64,
    /// What they take. Bytes.
    pub file_bytes: u64,
    /// Frames that were repeats, since the start.
    pub repeats: u64,
}

/// Lines in one minute and severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogCount {
    /// When the minute begins.
    pub at: Utc,
    /// Severity, 0 the worst.
    pub severity: u8,
    /// Lines.
    pub lines: u64,
}

/// A handle on the log store; clones share it.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    stream: [u8; 16],
    settings: LogSettings,
    head: Mutex<Head>,
    writer: Mutex<Writer>,
    damages: Mutex<Vec<Damage>>,
    suspects: Mutex<Vec<PathBuf>>,
}

/// What only the follower uses.
struct Writer {
    ledger: Ledger,
    decoder: Decoder,
    sealer: Sealer,
    repeats: u64,
    /// Tests: files that may be written before the writer stops as if it had died.
    #[cfg(test)]
    files_left: Option<u64>,
}

impl LogStore {
    /// Opens the store in `folder`, fed by the spool `stream`, and checks the newest file of each class.
    ///
    /// # Errors
    /// [`StoreError`] about the folder or its `store.db`. A damaged day file is moved aside and shows
    /// in [`LogStore::damages`].
    pub fn open(
        folder: &Path,
        stream: StreamId,
        settings: LogSettings,
    ) -> Result<LogStore, StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::io(folder))?;
        let ledger = Ledger::open(folder, stream.0)?;
        let settings =
            LogSettings { block_bytes: settings.block_bytes.clamp(1, BLOCK_BYTES_MAX), ..settings };
        let classes = read_classes(folder)?;
        let writer = Writer {
            decoder: Decoder::new(classes.iter().cloned()),
            sealer: Sealer::new(settings.zstd_level, settings.block_bytes)?,
            repeats: 0,
            #[cfg(test)]
            files_left: None,
            ledger,
        };
        let inner = Inner {
            folder: folder.to_path_buf(),
            stream: stream.0,
            settings,
            head: Mutex::new(Head::new(writer.ledger.upto())),
            writer: Mutex::new(writer),
            damages: Mutex::default(),
            suspects: Mutex::default(),
        };
        let store = LogStore { inner: Arc::new(inner) };
        for class in classes {
            let folder = store.inner.folder.join(class);
            let newest = list_days(&folder).map_err(StoreError::io(&folder))?.pop();
            if let Some(file) = newest {
                store.mend(&file.path)?;
            }
        }
        Ok(store)
    }

    /// Takes the frame that the spool keeps under `spool_seq`. From then on its lines are found.
    ///
    /// `now` is the time of receipt, for lines whose own time is beyond belief.
    ///
    /// # Errors
    /// [`StoreError::Frame`], [`StoreError::Kind`], [`StoreError::Body`]: the frame is bad, count it and
    /// go on. [`StoreError::HeadFull`]: seal and try again. Others: the store failed, try again later.
    pub fn take(
        &self,
        spool_seq: u64,
        tag: &HostTag,
        frame: &[u8],
        now: Utc,
    ) -> Result<Taken, StoreError> {
        let writer = &mut *lock(&self.inner.writer);
        let (last, bytes) = {
            let head = lock(&self.inner.head);
            (head.last(), head.bytes)
        };
        if spool_seq <= last {
            writer.repeats += 1;
            return Ok(Taken::Repeat);
        }
        match writer.ledger.under_way() {
            Some(range) if spool_seq > range.last => {
                // The spool has nothing more of that range.
                self.seal_with(writer, now, true)?;
            }
            Some(_) => {}
            None => {
                let limit = self.inner.settings.head_bytes.saturating_mul(2);
                if bytes > limit {
                    return Err(StoreError::HeadFull { bytes, limit });
                }
            }
        }
        let settings = &self.inner.settings;
        let belief = Belief { now, past: settings.past, future: settings.future };
        let mut decoded = writer.decoder.decode(tag, frame, settings.classes_max, belief)?;
        decoded.spool_seq = spool_seq;
        if lock(&self.inner.head).push(tag, decoded, now) {
            Ok(Taken::Kept)
        } else {
            writer.repeats += 1;
            Ok(Taken::Repeat)
        }
    }

    /// Whether the head is large or old enough to be sealed.
    pub fn is_due(&self, now: Utc) -> bool {
        let head = lock(&self.inner.head);
        head.bytes >= self.inner.settings.head_bytes
            || head.since.is_some_and(|since| now.since(since) >= self.inner.settings.head_age)
    }

    /// Writes the head into day files; `None` when there is nothing to write.
    ///
    /// When a seal was cut short by a crash, its range is repeated first: `None` until the spool has
    /// given all of it again.
    ///
    /// # Errors
    /// [`StoreError`]; the head stays and the next seal repeats the same range.
    pub fn seal(&self, now: Utc) -> Result<Option<SealReport>, StoreError> {
        self.seal_with(&mut lock(&self.inner.writer), now, false)
    }

    /// `is_complete`: no more frames of a range that is under way will come.
    fn seal_with(
        &self,
        writer: &mut Writer,
        now: Utc,
        is_complete: bool,
    ) -> Result<Option<SealReport>, StoreError> {
        self.mend_suspects()?;
        let mut frames = lock(&self.inner.head).frames.clone();
        let last = lock(&self.inner.head).last();
        let range = match writer.ledger.under_way() {
            // After a restart: the rest of the range still comes from the spool.
            Some(range) if last < range.last && !is_complete => return Ok(None),
            Some(range) => {
                frames.retain(|frame| frame.spool_seq <= range.last);
                range
            }
            None => match (frames.first(), frames.last()) {
                (Some(first), Some(last)) => Range { first: first.spool_seq, last: last.spool_seq },
                _ => return Ok(None),
            },
        };
        writer.ledger.begin(range)?;
        let report = self.write_part(writer, &frames, range)?;
        writer.ledger.end()?;
        lock(&self.inner.head).sealed(range.last, now);
        drop(frames);
        writer.decoder.forget_unused();
        Ok(Some(report))
    }

    fn write_part(
        &self,
        writer: &mut Writer,
        frames: &[Arc<HeadFrame>],
        range: Range,
    ) -> Result<SealReport, StoreError> {
        let sorted = Sorted::new(frames);
        let mut report =
            SealReport { upto: range.last, records: sorted.lines(), ..SealReport::default() };
        for file in sorted.by_file() {
            #[cfg(test)]
            if let Some(left) = &mut writer.files_left {
                *left = left.checked_sub(1).ok_or(StoreError::Stopped)?;
            }
            let path = file.path(&self.inner.folder);
            let part = (&self.inner.stream, range);
            let written = match writer.sealer.write(&path, &file, frames, part) {
                Err(error) if error.is_damage() => {
                    self.set_aside(&path, &error.to_string())?;
                    writer.sealer.write(&path, &file, frames, part)?
                }
                other => other?,
            };
            report.files += 1;
            report.bytes += written.bytes;
        }
        Ok(report)
    }

    /// Last spool seq that is sealed; the follower's cursor may pass it.
    pub fn sealed_upto(&self) -> u64 {
        lock(&self.inner.head).upto
    }

    /// Looks for lines and gives them to `out`, one by one, in order, until it breaks.
    ///
    /// # Errors
    /// [`StoreError::Question`], [`StoreError::Io`] about the folder. Damaged files are not errors:
    /// see [`SearchEnd::damaged`].
    pub fn search(
        &self,
        query: &LogQuery,
        budget: &Budget<'_>,
        out: &mut dyn FnMut(LogHit) -> ControlFlow<()>,
    ) -> Result<SearchEnd, StoreError> {
        let plan = Plan::new(query)?;
        let (head, horizon) = self.snapshot();
        let files = self.files(|class| plan.wants_class(class))?;
        let end = Search::new(&plan, Snapshot { head, horizon, files }).run(budget, out);
        let suspects = end.damaged.iter().map(|(path, _)| path.clone());
        lock(&self.inner.suspects).extend(suspects);
        Ok(end)
    }

    /// Lines per minute and severity, in order, without reading blocks.
    ///
    /// # Errors
    /// [`StoreError`] about a file; unlike a search this does not go on without it.
    pub fn counts(
        &self,
        since: Utc,
        until: Utc,
        classes: Option<&[String]>,
    ) -> Result<Vec<LogCount>, StoreError> {
        const MINUTE_US: i64 = 60_000_000;
        let wants = |class: &str| classes.is_none_or(|list| list.iter().any(|name| name == class));
        let (head, horizon) = self.snapshot();
        let first = since.0.div_euclid(MINUTE_US);
        let last = until.0.saturating_sub(1).div_euclid(MINUTE_US);
        let mut counts: BTreeMap<(i64, u8), u64> = BTreeMap::new();
        for frame in head {
            for (line, at) in frame.lines.at.iter().enumerate() {
                let minute = at.div_euclid(MINUTE_US);
                let source = &frame.sources[frame.lines.source[line] as usize];
                if (first..=last).contains(&minute) && wants(&source.class) {
                    *counts.entry((minute, frame.lines.severity[line])).or_default() += 1;
                }
            }
        }
        for file in self.files(wants)? {
            if file.day < Day::of(since) || file.day > Day::of(until) {
                continue;
            }
            let reader = DayReader::open(&file.path, &horizon)?;
            let mut add = |minute, severity, lines| {
                *counts.entry((minute, severity)).or_default() += lines;
            };
            reader.counts(first, last, &mut add).map_err(StoreError::sqlite(&file.path))?;
        }
        let count =
            |((minute, severity), lines)| LogCount { at: Utc(minute * MINUTE_US), severity, lines };
        Ok(counts.into_iter().map(count).collect())
    }

    fn snapshot(&self) -> (Vec<Arc<HeadFrame>>, Horizon) {
        let head = lock(&self.inner.head);
        (head.frames.clone(), Horizon { stream: self.inner.stream, upto: head.upto })
    }

    fn files(&self, wants: impl Fn(&str) -> bool) -> Result<Vec<DayPath>, StoreError> {
        let mut files = Vec::new();
        for class in read_classes(&self.inner.folder)?.into_iter().filter(|class| wants(class)) {
            let folder = self.inner.folder.join(&class);
            let class: Arc<str> = Arc::from(class);
            for file in list_days(&folder).map_err(StoreError::io(&folder))? {
                files.push(DayPath { day: file.day, class: Arc::clone(&class), path: file.path });
            }
        }
        Ok(files)
    }

    /// The classes that have day files or a folder.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn classes(&self) -> Result<Vec<String>, StoreError> {
        read_classes(&self.inner.folder)
    }

    /// Removes day files that are too old or too many. `keep` says what a class keeps.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what was removed before it stays removed.
    pub fn retain(
        &self,
        now: Utc,
        keep: &dyn Fn(&str) -> Keep,
    ) -> Result<Vec<Removed>, StoreError> {
        let _writer = lock(&self.inner.writer);
        let mut removed = Vec::new();
        for class in read_classes(&self.inner.folder)? {
            let folder = self.inner.folder.join(&class);
            let days = list_days(&folder).map_err(StoreError::io(&folder))?;
            for (file, why) in decide_removals(&days, keep(&class), Day::of(now)) {
                day::remove_day(&file.path).map_err(StoreError::io(&file.path))?;
                let (day, bytes, class) = (file.day, file.bytes, class.clone());
                removed.push(Removed { class, file: file.path, day, bytes, why });
            }
        }
        Ok(removed)
    }

    /// The oldest day any class has, if it is not today's: what goes first when the disk fills.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn oldest_day(&self, now: Utc) -> Result<Option<Day>, StoreError> {
        let oldest = self.files(|_| true)?.into_iter().map(|file| file.day).min();
        Ok(oldest.filter(|day| *day < Day::of(now)))
    }

    /// Removes one day of every class, because the disk is nearly full.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn drop_day(&self, day: Day) -> Result<Vec<Removed>, StoreError> {
        let _writer = lock(&self.inner.writer);
        let mut removed = Vec::new();
        for class in read_classes(&self.inner.folder)? {
            let file = day_path(&self.inner.folder.join(&class), day);
            if let Ok(meta) = fs::metadata(&file) {
                day::remove_day(&file).map_err(StoreError::io(&file))?;
                removed.push(Removed { class, file, day, bytes: meta.len(), why: Gone::Room });
            }
        }
        Ok(removed)
    }

    /// What the store holds.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn usage(&self) -> Result<LogUsage, StoreError> {
        let repeats = lock(&self.inner.writer).repeats;
        let (head_frames, head_bytes) = {
            let head = lock(&self.inner.head);
            (head.frames.len() as u64, head.bytes)
        };
        let mut usage = LogUsage { head_frames, head_bytes, repeats, ..LogUsage::default() };
        for class in read_classes(&self.inner.folder)? {
            let folder = self.inner.folder.join(class);
            for file in list_days(&folder).map_err(StoreError::io(&folder))? {
                usage.files += 1;
                usage.file_bytes += file.bytes;
            }
        }
        Ok(usage)
    }

    /// Files that were moved aside since the last call.
    pub fn damages(&self) -> Vec<Damage> {
        std::mem::take(&mut *lock(&self.inner.damages))
    }

    /// Checks the files that searches complained about.
    fn mend_suspects(&self) -> Result<(), StoreError> {
        let mut suspects = std::mem::take(&mut *lock(&self.inner.suspects));
        suspects.sort();
        suspects.dedup();
        suspects.iter().filter(|file| file.exists()).try_for_each(|file| self.mend(file))
    }

    /// Moves a file aside if it is damaged.
    fn mend(&self, file: &Path) -> Result<(), StoreError> {
        match sqlite::quick_check(file)? {
            None => Ok(()),
            Some(why) => self.set_aside(file, &why),
        }
    }

    fn set_aside(&self, file: &Path, why: &str) -> Result<(), StoreError> {
        let moved_to = day::set_aside(file).map_err(StoreError::io(file))?;
        let damage = Damage { file: file.to_path_buf(), moved_to, why: why.to_string() };
        lock(&self.inner.damages).push(damage);
        Ok(())
    }
}

/// The folders that are classes, by name.
fn read_classes(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut classes = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let entry = entry.map_err(StoreError::io(folder))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if let Some(name) = entry.file_name().to_str().filter(|name| line::is_class_name(name))
            && is_folder
        {
            classes.push(name.to_string());
        }
    }
    classes.sort();
    Ok(classes)
}

/// A poisoned lock means a bug elsewhere; what it guards is replaced whole, so it is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
