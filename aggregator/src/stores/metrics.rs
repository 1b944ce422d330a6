//! The metric store: takes dicts and scrapes, seals them into day files, answers selectors.
//!
//! Room: `stores/metrics`.  May use: `proto`.  Used by: the follower of the metric spool, the API.
//!
//! As in the log store one follower takes and seals, others ask. The head holds what is not sealed,
//! and the latest values of each host, which outlive the seal.
//!
//! Absent on purpose: rates, sums and the rest of PromQL. Staleness is the asker's: answers carry
//! the time of each value.

mod ask;
mod block;
mod dicts;
mod file;
mod head;
mod range;
mod selector;
pub mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::frame::{self, Kind};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::metric::parse_scrapes;

pub use ask::SeriesLast;
pub use range::{RangeQuery, SeriesRange};
pub use selector::{Selector, SelectorError};

use super::day::{self, Day, day_path, list_days};
use super::ledger::{Ledger, Range};
use super::retention::{Gone, Keep, Removed, decide_removals, remove};
use super::sealed::{First, Sickbay, admit, lock};
use super::{Damage, HostTag, SealReport, StoreError, Taken};
use dicts::Dicts;
use file::HostRows;
use head::{Head, HostHead, Row};

/// How a metric store works.
#[derive(Debug, Clone)]
pub struct MetricSettings {
    /// Age of the oldest scrape in the head before a seal is due. Default 15 minutes.
    pub head_age: Duration,
    /// Bytes of the head before a seal is due. Default 512 MiB; twice as many are refused.
    pub head_bytes: u64,
    /// Scrapes older than this at receipt are refused and counted. Default 400 days.
    pub past: Duration,
    /// Scrapes further in the future than this, likewise. Default 1 day.
    pub future: Duration,
}

impl Default for MetricSettings {
    fn default() -> MetricSettings {
        const DAY: Duration = Duration::from_secs(86_400);
        MetricSettings {
            head_age: Duration::from_secs(15 * 60),
            head_bytes: 512 * 1024 * 1024,
            past: DAY * 400,
            future: DAY,
        }
    }
}

/// Streams whose last seq is remembered, to drop repeats.
const STREAMS_MAX: usize = 65_536;

/// What the store holds and has refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetricUsage {
    /// Hosts with latest values.
    pub hosts: u64,
    /// Bytes of the head.
    pub head_bytes: u64,
    /// Day files.
    pub files: u64,
    /// What they take. Bytes.
    pub file_bytes: u64,
    /// Frames that were repeats, since the start.
    pub repeats: u64,
    /// Frames whose dict was missing, since the start.
    pub without_dict: u64,
    /// Scrapes whose time was beyond belief, since the start.
    pub beyond_belief: u64,
}

/// A handle on the metric store; clones share it.
#[derive(Clone)]
pub struct MetricStore {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    stream: [u8; 16],
    settings: MetricSettings,
    head: Mutex<Head>,
    writer: Mutex<Writer>,
    sickbay: Sickbay,
}

struct Writer {
    ledger: Ledger,
    dicts: Dicts,
    /// Last seq taken of each host's stream.
    last: HashMap<(String, StreamId), Seq>,
    raw: Vec<u8>,
    counts: MetricUsage,
    #[cfg(test)]
    files_left: Option<u64>,
}

impl MetricStore {
    /// Opens the store in `folder`, fed by the spool `stream`, and checks its newest file.
    ///
    /// # Errors
    /// [`StoreError`] about the folder, `store.db` or `dicts.db`.
    pub fn open(
        folder: &Path,
        stream: StreamId,
        settings: MetricSettings,
    ) -> Result<MetricStore, StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::io(folder))?;
        let ledger = Ledger::open(folder, stream.0)?;
        let upto = ledger.upto();
        let writer = Writer {
            ledger,
            dicts: Dicts::open(folder)?,
            last: HashMap::new(),
            raw: Vec::new(),
            counts: MetricUsage::default(),
            #[cfg(test)]
            files_left: None,
        };
        let inner = Inner {
            folder: folder.to_path_buf(),
            stream: stream.0,
            settings,
            head: Mutex::new(Head { upto, ..Head::default() }),
            writer: Mutex::new(writer),
            sickbay: Sickbay::default(),
        };
        let store = MetricStore { inner: Arc::new(inner) };
        if let Some(file) = store.days()?.pop() {
            store.inner.sickbay.mend(&file.path)?;
        }
        Ok(store)
    }

    /// Keeps a dict frame, durably. It stands outside the spool's order.
    ///
    /// # Errors
    /// [`StoreError::Frame`], [`StoreError::Kind`], [`StoreError::Body`]: the frame is bad.
    pub fn take_dict(&self, tag: &HostTag, frame: &[u8]) -> Result<Taken, StoreError> {
        lock(&self.inner.writer).dicts.take(tag, frame)
    }

    /// Takes the frame of scrapes that the spool keeps under `spool_seq`.
    ///
    /// # Errors
    /// As [`super::logs::LogStore::take`], and [`StoreError::NoDict`]: counted, go on.
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
            (head.range.map_or(head.upto, |(_, last)| last), head.bytes)
        };
        if spool_seq <= last {
            writer.counts.repeats += 1;
            return Ok(Taken::Repeat);
        }
        if admit(&writer.ledger, spool_seq, bytes, self.inner.settings.head_bytes)? == First::Seal {
            self.seal_with(writer, now, true)?;
        }
        self.take_scrapes(writer, tag, frame, (spool_seq, now))
    }

    fn take_scrapes(
        &self,
        writer: &mut Writer,
        tag: &HostTag,
        frame: &[u8],
        (spool_seq, now): (u64, Utc),
    ) -> Result<Taken, StoreError> {
        let (header, body) = frame::open(frame)?;
        if header.kind != Kind::Metric {
            let found = format!("{:?}", header.kind).to_lowercase();
            return Err(StoreError::Kind { store: "metric", found });
        }
        let key = (tag.host.clone(), header.stream);
        if writer.last.get(&key).is_some_and(|last| header.seq <= *last) {
            writer.counts.repeats += 1;
            return Ok(Taken::Repeat);
        }
        let Some(dict) = writer.dicts.find(tag, header.stream, header.dict)? else {
            writer.counts.without_dict += 1;
            let (host, stream) = (tag.host.clone(), header.stream.to_string());
            return Err(StoreError::NoDict { host, stream, number: header.dict });
        };
        frame::inflate(&header, body, &mut writer.raw)?;
        let scrapes = parse_scrapes(&dict, &writer.raw).map_err(|source| StoreError::Body {
            what: "scrapes",
            host: tag.host.clone(),
            source: source.into(),
        })?;
        let settings = &self.inner.settings;
        let believed = now.before(settings.past)..=now.after(settings.future);
        let rows: Vec<_> = scrapes
            .iter()
            .filter(|scrape| believed.contains(&scrape.at))
            .map(|scrape| Arc::new(Row::new(scrape)))
            .collect();
        writer.counts.beyond_belief += (scrapes.len() - rows.len()) as u64;
        writer.last.insert(key, header.seq);
        let mut head = lock(&self.inner.head);
        head.push(tag, &dict, rows);
        head.range = Some((head.range.map_or(spool_seq, |(first, _)| first), spool_seq));
        head.since.get_or_insert(now);
        Ok(Taken::Kept)
    }

    /// Whether the head is large or old enough to be sealed.
    pub fn is_due(&self, now: Utc) -> bool {
        let head = lock(&self.inner.head);
        head.bytes >= self.inner.settings.head_bytes
            || head.since.is_some_and(|since| now.since(since) >= self.inner.settings.head_age)
    }

    /// Writes the head into day files; `None` when there is nothing to write.
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
        let (hosts, taken) = {
            let head = lock(&self.inner.head);
            (head.hosts.values().cloned().collect::<Vec<_>>(), head.range)
        };
        // Until a range under way is written, nothing beyond it is taken.
        let taken = taken.map(|(first, last)| Range { first, last });
        let Some(range) = writer.ledger.next_seal(taken, is_complete) else { return Ok(None) };
        writer.ledger.begin(range)?;
        let report = self.write_part(writer, &hosts, range)?;
        drop(hosts);
        writer.ledger.end()?;
        if writer.last.len() > STREAMS_MAX {
            writer.last.clear();
        }
        lock(&self.inner.head).sealed(range.last, now);
        Ok(Some(report))
    }

    fn write_part(
        &self,
        writer: &mut Writer,
        hosts: &[Arc<HostHead>],
        range: Range,
    ) -> Result<SealReport, StoreError> {
        let mut report = SealReport { upto: range.last, ..SealReport::default() };
        for (day, mut hosts) in by_day(hosts) {
            #[cfg(test)]
            if let Some(left) = &mut writer.files_left {
                *left = left.checked_sub(1).ok_or(StoreError::Stopped)?;
            }
            #[cfg(not(test))]
            let _ = &writer;
            let path = day_path(&self.inner.folder, day);
            let write = || file::write(&path, &mut hosts, &self.inner.stream, range);
            let written = self.inner.sickbay.write(&path, write)?;
            report.files += 1;
            report.records += written.0;
            report.bytes += written.1;
        }
        Ok(report)
    }

    /// Last spool seq that is sealed; the follower's cursor may pass it.
    pub fn sealed_upto(&self) -> u64 {
        lock(&self.inner.head).upto
    }

    /// Removes day files that are too old or too many.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn retain(&self, now: Utc, keep: Keep) -> Result<Vec<Removed>, StoreError> {
        let gone = decide_removals(&self.days()?, keep, Day::of(now));
        self.remove(gone)
    }

    /// The oldest day, if it is not today's: what goes first when the disk fills.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn oldest_day(&self, now: Utc) -> Result<Option<Day>, StoreError> {
        Ok(self.days()?.first().map(|file| file.day).filter(|day| *day < Day::of(now)))
    }

    /// Removes one day, because the disk is nearly full.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn drop_day(&self, day: Day) -> Result<Vec<Removed>, StoreError> {
        let files = self.days()?.into_iter().filter(|file| file.day == day);
        self.remove(files.map(|file| (file, Gone::Room)).collect())
    }

    fn remove(&self, gone: Vec<(day::DayFile, Gone)>) -> Result<Vec<Removed>, StoreError> {
        let _writer = lock(&self.inner.writer);
        let mut removed = Vec::new();
        remove("", gone, &mut removed)?;
        Ok(removed)
    }

    /// What the store holds and has refused.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn usage(&self) -> Result<MetricUsage, StoreError> {
        let mut usage = lock(&self.inner.writer).counts;
        {
            let head = lock(&self.inner.head);
            usage.hosts = head.hosts.len() as u64;
            usage.head_bytes = head.bytes;
        }
        for file in self.days()? {
            usage.files += 1;
            usage.file_bytes += file.bytes;
        }
        Ok(usage)
    }

    /// Files that were moved aside since the last call.
    pub fn damages(&self) -> Vec<Damage> {
        self.inner.sickbay.damages()
    }

    fn days(&self) -> Result<Vec<day::DayFile>, StoreError> {
        list_days(&self.inner.folder).map_err(StoreError::io(&self.inner.folder))
    }
}

/// The rows of the head, by the day they belong to, then by host and dict.
fn by_day(hosts: &[Arc<HostHead>]) -> BTreeMap<Day, Vec<HostRows>> {
    let mut hosts: Vec<_> = hosts.iter().collect();
    hosts.sort_by(|a, b| a.tag.cmp(&b.tag));
    let mut days: BTreeMap<Day, Vec<HostRows>> = BTreeMap::new();
    for (host, chunk) in hosts.iter().flat_map(|host| host.chunks.iter().map(move |c| (host, c))) {
        let mut of_chunk: BTreeMap<Day, Vec<Arc<Row>>> = BTreeMap::new();
        for row in &chunk.rows {
            of_chunk.entry(Day::of(Utc(row.at))).or_default().push(Arc::clone(row));
        }
        for (day, rows) in of_chunk {
            let (tag, dict) = (host.tag.clone(), Arc::clone(&chunk.dict));
            days.entry(day).or_default().push(HostRows { tag, dict, rows });
        }
    }
    days
}
