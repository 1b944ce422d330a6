//! The one owner of a spool: stage entries and notes, make them durable together.
//!
//! Room: `spool`.  May use: everything here but `tool`.  Used by: one writer thread of agent or aggregator.
//!
//! Invariants
//! - What is staged stays in memory until a commit that covers it succeeded; its seqs never change.
//! - One commit is one write of one contiguous run of bytes, and one sync.
//! - A file whose write or sync failed is never written again (except when there was merely no room).

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, FileId};
use crate::format::{
    ENTRY_HEAD_BYTES, EntryHead, HEADER_BYTES, Header, Kind, MarkHead, encode_header,
    encode_mark_head, seal_entry_head, span_of,
};
use crate::index::{Index, Kept, Shared};
use crate::limits::{NOTE_KEY_BYTES_MAX, NOTE_VALUE_BYTES_MAX, Settings};
use crate::notes::{NOTE, Notes, Part, key_of};
use crate::reader::Reader;
use crate::recover::{SpoolError, Survey, survey};
use crate::release::Freeing;

/// Staging room kept between commits. Bytes. More is given back.
const STAGING_KEPT_BYTES: usize = 1024 * 1024;
/// Room in a mark for its own head.
const MARK_HEAD_BYTES: u64 = 64;

/// Why an entry or note was not taken. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A limit is reached; commit, release or drop, then try again.
    #[error("the spool is full: {bytes} bytes would pass {limit} of {limit_bytes}")]
    Full {
        /// Which limit.
        limit: Limit,
        /// What it would come to.
        bytes: u64,
        /// What is allowed.
        limit_bytes: u64,
    },
    /// It can never be taken.
    #[error("{bytes} bytes are longer than {bytes_max}")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The longest that is taken.
        bytes_max: u64,
    },
}

/// The limits that [`AppendError::Full`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes kept on disk: release or drop.
    Budget,
    /// Bytes staged in memory: commit.
    Staged,
    /// Bytes of all notes: remove some.
    Notes,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Limit::Budget => "the budget",
            Limit::Staged => "the staging limit",
            Limit::Notes => "the notes limit",
        })
    }
}

/// Why a commit failed. Everything staged is still staged: call again.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk is full (or the quota is).
    #[error("no room on the disk of the spool")]
    NoRoom {
        /// The system's own words.
        source: io::Error,
    },
    /// The file system is read-only.
    #[error("the disk of the spool is read-only")]
    ReadOnly {
        /// The system's own words.
        source: io::Error,
    },
    /// The disk failed; the next try goes to another file.
    #[error("cannot write to the spool")]
    Disk {
        /// The system's own words.
        source: io::Error,
    },
}

impl CommitError {
    fn of(source: io::Error) -> CommitError {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => CommitError::NoRoom { source },
            io::ErrorKind::ReadOnlyFilesystem => CommitError::ReadOnly { source },
            _ => CommitError::Disk { source },
        }
    }
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Nothing was there: the stream is the fresh one.
    pub is_new: bool,
    /// Entries kept.
    pub entries: u64,
    /// Segment files kept.
    pub segments: u64,
    /// Good entries behind the last commit, given up. Normal after a crash.
    pub discarded_entries: u64,
    /// Seqs known to be lost. Damage in older files is found by their readers.
    pub missing: Vec<(u64, u64)>,
    /// Segment headers that had to be rebuilt from their entries.
    pub rebuilt_headers: u64,
    /// Files put aside: of another stream, or without anything that parses.
    pub quarantined: u64,
    /// The newest file could not be synced; what is in it may not survive a power cut.
    pub is_unsynced: bool,
}

/// How much a spool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Durable entries kept.
    pub entries: u64,
    /// Bytes kept in segments, heads and notes included.
    pub bytes: u64,
    /// Bytes allowed.
    pub budget_bytes: u64,
    /// Segment files kept.
    pub segments: u64,
    /// Freed files waiting for reuse.
    pub free_segments: u64,
    /// Entries staged and not committed.
    pub staged_entries: u64,
    /// Bytes staged and not committed.
    pub staged_bytes: u64,
    /// Entries found missing since open, by recovery and by readers.
    pub missing_entries: u64,
    /// Entries dropped since open.
    pub dropped_entries: u64,
    /// Files put aside for study.
    pub quarantined: u64,
    /// The reserve for cursors is in place.
    pub has_reserve: bool,
}

/// One spool directory, owned.
pub struct Spool {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) settings: Settings,
    pub(crate) shared: Arc<Shared>,
    pub(crate) notes: Notes,
    pub(crate) freeing: Freeing,
    stream: [u8; 16],
    staging: Staging,
    next_seq: u64,
    next_id: u64,
    /// Bytes of the kept segments, as the index has them.
    kept_bytes: u64,
    /// The file being written; `None` makes the next commit start another.
    active: Option<u64>,
    /// The last file that holds a commit, and where its commits end.
    pub(crate) newest: Option<(u64, u64)>,
}

/// Entries encoded and waiting for their segment.
struct Staging {
    /// Room for a header, then entries.
    bytes: Vec<u8>,
    /// Offset of each entry in `bytes`, and the crc of its body.
    entries: Vec<(usize, u32, u32)>,
}

impl Spool {
    /// Opens what `disk` holds, or begins a new spool with `fresh_stream`.
    ///
    /// # Errors
    /// [`SpoolError::List`] when the directory cannot be read, [`SpoolError::Newer`] when a newer
    /// program wrote it. Damage is not an error: see [`Opened`].
    pub fn open(
        disk: Arc<dyn Disk>,
        settings: Settings,
        fresh_stream: [u8; 16],
    ) -> Result<(Spool, Opened), SpoolError> {
        let found = survey(&*disk)?;
        let mut opened = Opened {
            is_new: found.kept.is_empty() && found.foreign.is_empty(),
            entries: found.kept.iter().map(Kept::entries).sum(),
            segments: found.kept.len() as u64,
            discarded_entries: found.discarded_entries,
            missing: found.missing.clone(),
            rebuilt_headers: found.headless,
            quarantined: found.foreign.len() as u64,
            is_unsynced: false,
        };
        let last_group_at = found.last_group_at;
        let mut spool = Spool::build(disk, settings.bounded(), fresh_stream, found);
        opened.is_unsynced = spool.sync_last_group(last_group_at).is_err();
        spool.retire_released();
        spool.free_released();
        spool.make_reserve();
        Ok((spool, opened))
    }

    fn build(disk: Arc<dyn Disk>, settings: Settings, fresh: [u8; 16], found: Survey) -> Spool {
        let first = found.kept.first().map_or(found.next_seq, |kept| kept.first);
        let newest = found.kept.last().map(|kept| (kept.id, kept.end));
        let mut index = Index::new(found.kept.into(), first, found.next_seq - 1);
        for (from, to) in &found.missing {
            index.count_missing(*from, *to);
        }
        let kept_bytes = index.bytes();
        let mut freeing = Freeing::new(found.free, found.bad.len(), found.has_reserve);
        freeing.stale = found.stale;
        freeing.foreign = found.foreign;
        freeing.leftovers = found.fresh;
        Spool {
            disk,
            settings,
            shared: Arc::new(Shared::new(index)),
            notes: found.notes,
            freeing,
            stream: found.stream.unwrap_or(fresh),
            staging: Staging { bytes: vec![0; HEADER_BYTES as usize], entries: Vec::new() },
            next_seq: found.next_seq,
            next_id: found.next_id,
            kept_bytes,
            active: None,
            newest,
        }
    }

    /// Makes the last group durable that was found: a killed owner may have written and never synced it.
    /// It is written again, the same bytes over themselves, because after a failed sync the system
    /// takes lost pages for clean: they can be read, and syncing them once more does nothing.
    fn sync_last_group(&mut self, at: u64) -> io::Result<()> {
        let Some((id, end)) = self.newest else { return Ok(()) };
        let file = FileId::Segment(id);
        let mut bytes = vec![0; (end.saturating_sub(at)) as usize];
        let count = self.disk.read(file, at, &mut bytes)?;
        self.disk.write(file, at, &bytes[..count])?;
        self.disk.sync(file)
    }

    /// Stages one entry made of `parts`, and tells its seq. Durable after the next commit.
    ///
    /// # Errors
    /// [`AppendError::Full`] over the budget or the staging limit; [`AppendError::TooLong`].
    pub fn append(&mut self, parts: &[&[u8]]) -> Result<u64, AppendError> {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let bytes_max = self.settings.entry_bytes_max();
        if len > bytes_max {
            return Err(AppendError::TooLong { bytes: len, bytes_max });
        }
        self.refuse_over_limits(span_of(len))?;
        self.staging.add(len, parts);
        let seq = self.next_seq;
        self.next_seq += 1;
        Ok(seq)
    }

    /// Stages a change of a note; `None` removes it. Durable with the next commit, together with the entries.
    ///
    /// # Errors
    /// [`AppendError::TooLong`] for a key or value over its limit, [`AppendError::Full`] when the
    /// notes together are too many.
    pub fn note(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), AppendError> {
        self.put_note(key_of(NOTE, key), value.map(<[u8]>::to_vec))
    }

    /// Makes everything staged durable with one sync, and shows it to the readers.
    ///
    /// # Errors
    /// [`CommitError`] tells a full disk, a read-only one and a failing one apart. Everything staged
    /// stays staged under its seqs; call again. On a full disk, cursors are committed on the reserve
    /// and what they release is freed, so that a later call may succeed.
    pub fn commit(&mut self) -> Result<u64, CommitError> {
        self.release();
        if !self.staging.entries.is_empty() || self.notes.has_changes(Part::All) {
            match self.write_group(Part::All) {
                Ok(()) => {}
                Err(CommitError::NoRoom { source }) => self.commit_in_need(source)?,
                Err(other) => return Err(other),
            }
        }
        self.free_released();
        self.remake_reserve();
        Ok(self.durable_seq())
    }

    /// The life of this spool directory.
    pub fn stream(&self) -> [u8; 16] {
        self.stream
    }

    /// The seq of the next entry; the first ever is 1.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Last seq that is durable; 0 for none.
    pub fn durable_seq(&self) -> u64 {
        self.shared.look().durable
    }

    /// Oldest seq kept; equal to `next_seq` when nothing is.
    pub fn first_seq(&self) -> u64 {
        self.shared.look().first
    }

    /// The value of a note, staged changes included.
    pub fn note_value(&self, key: &[u8]) -> Option<&[u8]> {
        self.notes.value(&key_of(NOTE, key))
    }

    /// All notes, staged changes included, by key.
    pub fn notes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.notes.of_kind(NOTE)
    }

    /// A follower of this spool.
    pub fn reader(&self) -> Reader {
        Reader::new(self.disk.clone(), self.shared.clone())
    }

    /// How much it holds now.
    pub fn usage(&self) -> Usage {
        let index = self.shared.look();
        Usage {
            entries: index.segments.iter().map(Kept::entries).sum(),
            bytes: index.bytes(),
            budget_bytes: self.settings.budget_bytes,
            segments: index.segments.len() as u64,
            free_segments: self.freeing.pool.len() as u64,
            staged_entries: self.staging.entries.len() as u64,
            staged_bytes: self.staged_bytes(),
            missing_entries: index.missing_entries,
            dropped_entries: self.freeing.dropped_entries,
            quarantined: self.freeing.quarantined as u64,
            has_reserve: self.freeing.has_reserve,
        }
    }

    pub(crate) fn put_note(
        &mut self,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), AppendError> {
        let too_long = |bytes: usize, bytes_max: usize| AppendError::TooLong {
            bytes: bytes as u64,
            bytes_max: bytes_max as u64,
        };
        if key.len() > NOTE_KEY_BYTES_MAX + 1 {
            return Err(too_long(key.len() - 1, NOTE_KEY_BYTES_MAX));
        }
        if let Some(value) = &value {
            if value.len() > NOTE_VALUE_BYTES_MAX {
                return Err(too_long(value.len(), NOTE_VALUE_BYTES_MAX));
            }
            let bytes = self.notes.live_bytes_with(&key, value);
            let limit_bytes = self.settings.notes_bytes_max();
            if bytes > limit_bytes {
                return Err(AppendError::Full { limit: Limit::Notes, bytes, limit_bytes });
            }
        }
        let bytes = self.notes.changed_bytes() + key.len() as u64;
        let limit_bytes = self.settings.notes_bytes_max();
        if bytes > limit_bytes && self.notes.value(&key).is_none() {
            return Err(AppendError::Full { limit: Limit::Notes, bytes, limit_bytes });
        }
        self.notes.put(&key, value);
        Ok(())
    }

    /// A segment left the index; if it was the newest, the next commit starts another file.
    pub(crate) fn on_retired(&mut self, id: u64, bytes: u64) {
        self.kept_bytes = self.kept_bytes.saturating_sub(bytes);
        if self.newest.is_some_and(|(newest, _)| newest == id) {
            self.active = None;
        }
    }

    fn staged_bytes(&self) -> u64 {
        self.staging.bytes.len() as u64 - HEADER_BYTES
    }

    fn refuse_over_limits(&self, span: u64) -> Result<(), AppendError> {
        let staged = self.staged_bytes() + span;
        let limit_bytes = self.settings.staged_bytes_max();
        if staged > limit_bytes {
            return Err(AppendError::Full { limit: Limit::Staged, bytes: staged, limit_bytes });
        }
        let bytes = self.kept_bytes + staged;
        let limit_bytes = self.settings.budget_bytes;
        if bytes > limit_bytes {
            return Err(AppendError::Full { limit: Limit::Budget, bytes, limit_bytes });
        }
        Ok(())
    }

    /// Writes and syncs one group; with [`Part::Cursors`], one without data.
    pub(crate) fn write_group(&mut self, part: Part) -> Result<(), CommitError> {
        let data_bytes = if part == Part::All { self.staged_bytes() } else { 0 };
        let mark_bytes = MARK_HEAD_BYTES + self.notes.live_bytes() + self.notes.changed_bytes();
        let need = data_bytes + span_of(mark_bytes);
        let continued = match (self.active, self.newest) {
            (Some(active), Some((id, end)))
                if active == id && end + need <= self.settings.segment_bytes =>
            {
                Some((id, end))
            }
            _ => None,
        };
        let (id, at) = match continued {
            Some(place) => place,
            None => (self.start_segment()?, HEADER_BYTES),
        };
        let is_first = continued.is_none();
        let group = self.encode_group(id, is_first, part);
        // The header goes out in the same write as the first group.
        let skip = if is_first { 0 } else { HEADER_BYTES };
        let end = at + group.len() as u64 - HEADER_BYTES;
        let file = FileId::Segment(id);
        let written = self.disk.write(file, at - HEADER_BYTES + skip, &group[skip as usize..]);
        let outcome = match written {
            Ok(()) => self.disk.sync(file).map_err(|error| (true, error)),
            Err(error) => Err((false, error)),
        };
        self.give_back(group, part, outcome.is_ok());
        match outcome {
            Ok(()) => {
                self.settle_group(id, end, is_first, part);
                Ok(())
            }
            Err((was_sync, error)) => Err(self.settle_failure(id, is_first, was_sync, error)),
        }
    }

    /// A file for the next group: a freed one if there is one.
    fn start_segment(&mut self) -> Result<u64, CommitError> {
        let id = self.next_id;
        self.next_id += 1;
        self.active = None;
        while let Some(free) = self.freeing.pool.last().copied() {
            match self.disk.rename(FileId::Free(free), FileId::Segment(id)) {
                Ok(()) => {
                    self.freeing.pool.pop();
                    return Ok(id);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.freeing.pool.pop();
                }
                Err(_) => break,
            }
        }
        self.disk.create(FileId::Segment(id)).map_err(CommitError::of)?;
        Ok(id)
    }

    /// Header room, data (unless cursors only) and the mark, all under segment `id`.
    fn encode_group(&mut self, id: u64, is_first: bool, part: Part) -> Vec<u8> {
        let durable = self.durable_seq();
        let (mut group, count) = match part {
            Part::All => {
                (std::mem::take(&mut self.staging.bytes), self.staging.entries.len() as u32)
            }
            Part::Cursors => (vec![0; HEADER_BYTES as usize], 0),
        };
        let first_seq = self.next_seq - self.staging.entries.len() as u64;
        if part == Part::All {
            let seqs = first_seq..;
            for ((at, body_crc, len), seq) in self.staging.entries.iter().zip(seqs) {
                let head = EntryHead { kind: Kind::Data, crc: 0, len: *len, segment: id, seq };
                let sealed = seal_entry_head(head, *body_crc);
                group[*at..*at + sealed.len()].copy_from_slice(&sealed);
            }
        }
        if is_first {
            let (prev_segment, prev_end) = self.newest.unwrap_or((0, 0));
            let stream = self.stream;
            let header =
                Header { stream, segment: id, first_seq: durable + 1, prev_segment, prev_end };
            group[..HEADER_BYTES as usize].copy_from_slice(&encode_header(&header));
        }
        let at = group.len();
        group.resize(at + ENTRY_HEAD_BYTES as usize, 0);
        let full = is_first.then_some(self.stream);
        encode_mark_head(&MarkHead { first_seq: durable + 1, count, full }, &mut group);
        match full {
            Some(_) => self.notes.encode_full(part, &mut group),
            None => self.notes.encode_changes(part, &mut group),
        }
        let body = at + ENTRY_HEAD_BYTES as usize;
        let len = (group.len() - body) as u32;
        let seq = durable + u64::from(count);
        let head = EntryHead { kind: Kind::Mark, crc: 0, len, segment: id, seq };
        let sealed = seal_entry_head(head, crc32c::crc32c(&group[body..]));
        group[at..body].copy_from_slice(&sealed);
        group.resize(group.len().next_multiple_of(8), 0);
        group
    }

    /// Takes the staging buffer back: emptied after success, without the mark after failure.
    fn give_back(&mut self, mut group: Vec<u8>, part: Part, is_durable: bool) {
        if part != Part::All {
            return;
        }
        if is_durable {
            group.truncate(HEADER_BYTES as usize);
            group.shrink_to(STAGING_KEPT_BYTES);
        } else {
            let end = self.staging.entries.last();
            let end =
                end.map_or(HEADER_BYTES, |(at, _, len)| *at as u64 + span_of(u64::from(*len)));
            group.truncate(end as usize);
        }
        self.staging.bytes = group;
    }

    fn settle_group(&mut self, id: u64, end: u64, is_first: bool, part: Part) {
        let shared = self.shared.clone();
        let mut index = shared.change();
        let first_seq = index.durable + 1;
        if is_first {
            // The one before held only notes, and this one has them all.
            while index.segments.back().is_some_and(|kept| kept.entries() == 0) {
                self.freeing.dying.extend(index.segments.pop_back().map(|kept| (kept.id, false)));
            }
            index.segments.push_back(Kept::new(id, first_seq));
        }
        let durable = if part == Part::All { self.next_seq - 1 } else { index.durable };
        if let Some(kept) = index.segments.back_mut() {
            if part == Part::All {
                let base = kept.end - HEADER_BYTES;
                for ((at, _, _), seq) in self.staging.entries.iter().zip(first_seq..) {
                    kept.remember(seq, base + *at as u64);
                }
            }
            kept.end = end;
            kept.last = durable;
        }
        index.durable = durable;
        if index.segments.iter().all(|kept| kept.entries() == 0) {
            index.first = durable + 1;
        }
        if part == Part::All {
            self.staging.entries.clear();
        }
        self.kept_bytes = index.bytes();
        self.notes.settle(part);
        self.active = Some(id);
        self.newest = Some((id, end));
    }

    fn settle_failure(
        &mut self,
        id: u64,
        is_first: bool,
        was_sync: bool,
        error: io::Error,
    ) -> CommitError {
        let error = CommitError::of(error);
        let is_retried_in_place =
            !is_first && !was_sync && !matches!(error, CommitError::Disk { .. });
        if !is_retried_in_place {
            self.active = None;
        }
        if is_first {
            // Its id is never used again; a file that cannot be removed is found stale at the next start.
            let _ = self.disk.remove(FileId::Segment(id));
        }
        error
    }
}

impl Staging {
    fn add(&mut self, len: u64, parts: &[&[u8]]) {
        let at = self.bytes.len();
        self.bytes.resize(at + ENTRY_HEAD_BYTES as usize, 0);
        let mut crc = 0;
        for part in parts {
            crc = crc32c::crc32c_append(crc, part);
            self.bytes.extend_from_slice(part);
        }
        self.bytes.resize(at + span_of(len) as usize, 0);
        self.entries.push((at, crc, len as u32));
    }
}
