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
use crate::format::{HEADER_BYTES, span_of};
use crate::group::Staging;
use crate::index::{Index, Kept, Shared};
use crate::limits::{NOTE_KEY_BYTES_MAX, NOTE_VALUE_BYTES_MAX, Settings};
use crate::notes::{NOTE, Notes, Part, key_of};
use crate::outcome::{AppendError, CommitError, Limit, Opened, Usage};
use crate::reader::Reader;
use crate::recover::{SpoolError, Survey, survey};
use crate::release::Freeing;

/// Room in a mark for its own head.
const MARK_HEAD_BYTES: u64 = 64;

/// One spool directory, owned.
pub struct Spool {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) settings: Settings,
    pub(crate) shared: Arc<Shared>,
    pub(crate) notes: Notes,
    pub(crate) freeing: Freeing,
    pub(crate) stream: [u8; 16],
    pub(crate) staging: Staging,
    pub(crate) next_seq: u64,
    next_id: u64,
    /// Bytes of the kept segments, as the index has them.
    kept_bytes: u64,
    /// The file being written; `None` makes the next commit start another.
    active: Option<u64>,
    /// The last file that holds a commit, and where its commits end.
    pub(crate) newest: Option<(u64, u64)>,
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
        spool.make_stock();
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
            staging: Staging::new(),
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
        self.remake_stock();
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
            staged_bytes: self.staging.bytes_staged(),
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
        if self.notes.value(&key) == value.as_deref() && key.len() <= NOTE_KEY_BYTES_MAX {
            return Ok(());
        }
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

    fn refuse_over_limits(&self, span: u64) -> Result<(), AppendError> {
        let staged = self.staging.bytes_staged() + span;
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
        let data_bytes = if part == Part::All { self.staging.bytes_staged() } else { 0 };
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

    /// An id that no file ever had.
    pub(crate) fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// A file for the next group: a freed one if there is one.
    fn start_segment(&mut self) -> Result<u64, CommitError> {
        let id = self.take_id();
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
