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
mod counts;
mod file;
mod head;
mod line;
mod query;
mod retain;
mod seal;
mod search;
mod shapes;
pub mod testing;
#[cfg(test)]
mod tests;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::ids::StreamId;

pub use counts::LogCount;
pub use line::{FLAG_CLAMPED, LineKey, LineSource, LogHit, class_name};
pub use query::{LogQuery, Order};
pub use search::{Budget, SearchEnd, Truncated};

use super::day::{DayFile, list_days};
use super::ledger::{Ledger, Range};
use super::sealed::{First, Sickbay, admit, lock};
use super::{Damage, HostTag, SealReport, StoreError, Taken};
use file::Horizon;
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
    sickbay: Sickbay,
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
            sickbay: Sickbay::default(),
        };
        let store = LogStore { inner: Arc::new(inner) };
        for class in classes {
            if let Some(file) = store.days(&class)?.pop() {
                store.inner.sickbay.mend(&file.path)?;
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
        if admit(&writer.ledger, spool_seq, bytes, self.inner.settings.head_bytes)? == First::Seal {
            self.seal_with(writer, now, true)?;
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
        self.inner.sickbay.mend_suspects()?;
        let mut frames = lock(&self.inner.head).frames.clone();
        let taken = frames.first().zip(frames.last());
        let taken = taken.map(|(a, b)| Range { first: a.spool_seq, last: b.spool_seq });
        let Some(range) = writer.ledger.next_seal(taken, is_complete) else { return Ok(None) };
        frames.retain(|frame| frame.spool_seq <= range.last);
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
            let write = || writer.sealer.write(&path, &file, frames, part);
            let written = self.inner.sickbay.write(&path, write)?;
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
        self.inner.sickbay.suspect(end.damaged.iter().map(|(path, _)| path.clone()));
        Ok(end)
    }

    fn snapshot(&self) -> (Vec<Arc<HeadFrame>>, Horizon) {
        let head = lock(&self.inner.head);
        (head.frames.clone(), Horizon { stream: self.inner.stream, upto: head.upto })
    }

    /// The day files of a class, oldest first.
    fn days(&self, class: &str) -> Result<Vec<DayFile>, StoreError> {
        let folder = self.inner.folder.join(class);
        list_days(&folder).map_err(StoreError::io(&folder))
    }

    fn files(&self, wants: impl Fn(&str) -> bool) -> Result<Vec<DayPath>, StoreError> {
        let mut files = Vec::new();
        for class in read_classes(&self.inner.folder)?.into_iter().filter(|class| wants(class)) {
            let days = self.days(&class)?;
            let class: Arc<str> = Arc::from(class);
            for file in days {
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
            for file in self.days(&class)? {
                usage.files += 1;
                usage.file_bytes += file.bytes;
            }
        }
        Ok(usage)
    }

    /// Files that were moved aside since the last call.
    pub fn damages(&self) -> Vec<Damage> {
        self.inner.sickbay.damages()
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
