//! Cursors, the files they release, the entries that are dropped, and the reserve for bad days.
//!
//! Room: `spool`.  Used by: `writer` (an `impl Spool` of its own).
//! A file is freed in three steps: out of the index at once, its release durable with the next commit,
//! then renamed into the pool or removed. A crash in between only brings the file back.

use std::io;

use crate::disk::FileId;
use crate::limits::QUARANTINE_FILES_MAX;
use crate::notes::{CURSOR, FLOOR, Part, key_of};
use crate::outcome::{AppendError, CommitError};
use crate::stock::Patience;
use crate::writer::Spool;

/// Why a cursor did not move. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// There is no cursor of that name.
    #[error("there is no such cursor")]
    Unknown,
    /// What is not durable cannot be done with.
    #[error("entry {upto} is not durable, the last one is {durable}")]
    Beyond {
        /// Where it should have gone.
        upto: u64,
        /// The last durable seq.
        durable: u64,
    },
    /// The notes are full or the name is too long.
    #[error("cannot keep the cursor")]
    Keep {
        /// Which limit.
        source: AppendError,
    },
}

/// What [`Spool::drop_oldest`] gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// First dropped seq that some cursor had not passed; 0 when nothing was dropped.
    pub from: u64,
    /// Last dropped seq.
    pub to: u64,
    /// How many seqs that is.
    pub entries: u64,
    /// Bytes of the dropped files.
    pub bytes: u64,
}

/// Files on their way out, and the pool.
pub(crate) struct Freeing {
    /// Ids of free files.
    pub(crate) pool: Vec<u64>,
    /// Out of the index, waiting for the commit that releases them; `true`: damaged, keep for study.
    pub(crate) dying: Vec<(u64, bool)>,
    /// Found without content at start.
    pub(crate) stale: Vec<u64>,
    /// Found to be not ours at start.
    pub(crate) foreign: Vec<u64>,
    /// Unfinished rewrites found at start.
    pub(crate) leftovers: Vec<u64>,
    pub(crate) quarantined: usize,
    pub(crate) has_reserve: bool,
    pub(crate) dropped_entries: u64,
    reserve_patience: Patience,
    /// The pool's files are known to be whole.
    pub(crate) is_stock_proven: bool,
    pub(crate) stock_patience: Patience,
}

impl Freeing {
    pub(crate) fn new(pool: Vec<u64>, quarantined: usize, has_reserve: bool) -> Freeing {
        Freeing {
            pool,
            dying: Vec::new(),
            stale: Vec::new(),
            foreign: Vec::new(),
            leftovers: Vec::new(),
            quarantined,
            has_reserve,
            dropped_entries: 0,
            reserve_patience: Patience::new(),
            is_stock_proven: false,
            stock_patience: Patience::new(),
        }
    }
}

impl Spool {
    /// Adds a cursor that still needs every entry from `from` on; one that exists stays where it is.
    /// Durable with the next commit.
    ///
    /// # Errors
    /// [`CursorError::Keep`] when the name is too long or the notes are full.
    pub fn add_cursor(&mut self, cursor: &str, from: u64) -> Result<(), CursorError> {
        if self.cursor(cursor).is_some() {
            return Ok(());
        }
        let done = from.clamp(self.first_seq(), self.next_seq().max(1)).saturating_sub(1);
        self.put_cursor(cursor, done)
    }

    /// Says that `cursor` is done with every entry up to and including `upto`; never moves back.
    /// Durable with the next commit; then files that all cursors passed are freed.
    ///
    /// # Errors
    /// [`CursorError::Unknown`]; [`CursorError::Beyond`] when `upto` is not durable.
    pub fn advance(&mut self, cursor: &str, upto: u64) -> Result<(), CursorError> {
        let done = self.cursor(cursor).ok_or(CursorError::Unknown)?;
        let durable = self.durable_seq();
        if upto > durable {
            return Err(CursorError::Beyond { upto, durable });
        }
        if upto > done {
            self.put_cursor(cursor, upto)?;
            self.release();
        }
        Ok(())
    }

    /// Forgets a cursor; what only it held is released. Durable with the next commit.
    pub fn remove_cursor(&mut self, cursor: &str) {
        self.notes.put(&key_of(CURSOR, cursor.as_bytes()), None);
        self.release();
    }

    /// The last seq that `cursor` is done with; `None` if there is no such cursor.
    pub fn cursor(&self, cursor: &str) -> Option<u64> {
        self.notes.number(&key_of(CURSOR, cursor.as_bytes()))
    }

    /// All cursors: name and the last seq done.
    pub fn cursors(&self) -> Vec<(String, u64)> {
        let cursors = self.notes.of_kind(CURSOR).filter_map(|(name, value)| {
            let done = u64::from_le_bytes(value.try_into().ok()?);
            Some((String::from_utf8_lossy(name).into_owned(), done))
        });
        cursors.collect()
    }

    /// Gives up whole oldest segments, whatever the cursors say, until `bytes` are free or nothing
    /// durable is left. Cursors move up. Readers miss them at once; files go with the next commit.
    pub fn drop_oldest(&mut self, bytes: u64) -> Dropped {
        let mut dropped = Dropped::default();
        let passed = self.least_cursor().unwrap_or(0);
        loop {
            let front = self
                .shared
                .look()
                .segments
                .front()
                .map(|kept| (kept.end, kept.entries(), kept.first));
            let Some((end, entries, first)) = front else { break };
            if dropped.bytes >= bytes || entries == 0 {
                break;
            }
            if dropped.from == 0 {
                dropped.from = first.max(passed + 1);
            }
            dropped.bytes += end;
            dropped.to = self.retire_front();
        }
        if dropped.bytes > 0 {
            dropped.entries = (dropped.to + 1).saturating_sub(dropped.from);
            self.freeing.dropped_entries += dropped.entries;
            for (name, done) in self.cursors() {
                if done < dropped.to {
                    // Same length as before: always fits.
                    let _ = self.put_cursor(&name, dropped.to);
                }
            }
        }
        dropped
    }

    fn put_cursor(&mut self, cursor: &str, done: u64) -> Result<(), CursorError> {
        self.put_note(key_of(CURSOR, cursor.as_bytes()), Some(done.to_le_bytes().to_vec()))
            .map_err(|source| CursorError::Keep { source })
    }

    fn least_cursor(&self) -> Option<u64> {
        self.cursors().into_iter().map(|(_, done)| done).min()
    }

    /// Retires every closed segment that all cursors passed.
    pub(crate) fn release(&mut self) {
        if let Some(done) = self.least_cursor() {
            self.retire_upto(done);
        }
    }

    /// At start: what was released before but is still there, because a crash brought it back.
    pub(crate) fn retire_released(&mut self) {
        self.release();
        self.retire_upto(self.notes.number(FLOOR).unwrap_or(1).saturating_sub(1));
    }

    fn retire_upto(&mut self, done: u64) {
        loop {
            let index = self.shared.look();
            let is_passed = index.segments.len() > 1
                && index.segments.front().is_some_and(|kept| kept.last <= done);
            drop(index);
            if !is_passed {
                return;
            }
            self.retire_front();
        }
    }

    /// Takes the oldest segment out of the index and moves the floor behind it; tells its last seq.
    fn retire_front(&mut self) -> u64 {
        let shared = self.shared.clone();
        let mut index = shared.change();
        let Some(kept) = index.segments.pop_front() else { return index.durable };
        index.first = index.segments.front().map_or(index.durable + 1, |next| next.first);
        drop(index);
        let floor = (kept.last + 1).max(self.notes.number(FLOOR).unwrap_or(1));
        self.freeing.dying.push((kept.id, kept.damaged));
        self.notes.put(FLOOR, Some(floor.to_le_bytes().to_vec()));
        self.on_retired(kept.id, kept.end);
        kept.last
    }

    /// The disk is full: commit the cursors on the reserve, free what they release, try again.
    pub(crate) fn commit_in_need(&mut self, no_room: io::Error) -> Result<(), CommitError> {
        if self.freeing.has_reserve {
            self.freeing.has_reserve = self.disk.remove(FileId::Reserve).is_err();
            self.freeing.reserve_patience = Patience::new();
        }
        let had = self.freeing.pool.len();
        if self.notes.has_changes(Part::Cursors) && self.write_group(Part::Cursors).is_ok() {
            self.free_released();
        } else if !self.freeing.dying.is_empty() {
            self.free_dropped_unsaid();
        } else {
            return Err(CommitError::NoRoom { source: no_room });
        }
        // The pool first serves the group; what it does not need gives room by going.
        while self.freeing.pool.len() > 1.max(had) {
            let Some(id) = self.freeing.pool.pop() else { break };
            let _ = self.disk.remove(FileId::Free(id));
        }
        self.write_group(Part::All)
    }

    /// Frees files before their release is durable: the last way out of a disk so full that not even
    /// cursors can be written. A crash now costs only the knowledge of what was dropped.
    fn free_dropped_unsaid(&mut self) {
        let newest = self.newest.map(|(id, _)| id);
        self.free_files(|id| Some(id) != newest);
    }

    /// Frees everything whose release is durable. Failures are tried again at the next commit.
    pub(crate) fn free_released(&mut self) {
        let newest = self.newest.map(|(id, _)| id);
        self.free_files(|id| Some(id) != newest);
        for id in std::mem::take(&mut self.freeing.foreign) {
            if !self.put_aside(id) {
                self.freeing.foreign.push(id);
            }
        }
        for id in std::mem::take(&mut self.freeing.leftovers) {
            let _ = self.disk.remove(FileId::Fresh(id));
        }
        while self.freeing.pool.len() > self.settings.recycle_max {
            let Some(id) = self.freeing.pool.pop() else { break };
            let _ = self.disk.remove(FileId::Free(id));
        }
    }

    fn free_files(&mut self, may_go: impl Fn(u64) -> bool) {
        let stale = std::mem::take(&mut self.freeing.stale);
        let mut leaving = std::mem::take(&mut self.freeing.dying);
        leaving.extend(stale.into_iter().map(|id| (id, false)));
        for (id, is_damaged) in leaving {
            if !may_go(id) || !self.free_file(id, is_damaged) {
                self.freeing.dying.push((id, is_damaged));
            }
        }
    }

    /// Into quarantine, into the pool, or away. `false` when it is still there.
    fn free_file(&mut self, id: u64, is_damaged: bool) -> bool {
        if is_damaged && self.freeing.quarantined < QUARANTINE_FILES_MAX {
            return self.put_aside(id);
        }
        let file = FileId::Segment(id);
        let outcome = if self.freeing.pool.len() < self.settings.recycle_max {
            let renamed = self.disk.rename(file, FileId::Free(id));
            if renamed.is_ok() {
                self.freeing.pool.push(id);
                // It may have been made in need, not taken from the stock.
                self.freeing.is_stock_proven = false;
            }
            renamed
        } else {
            self.disk.remove(file)
        };
        match outcome {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    fn put_aside(&mut self, id: u64) -> bool {
        match self.disk.rename(FileId::Segment(id), FileId::Bad(id)) {
            Ok(()) => {
                self.freeing.quarantined += 1;
                true
            }
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Makes the reserve if it is wanted and not there. Failing is normal on a full disk.
    pub(crate) fn make_reserve(&mut self) {
        let bytes = self.settings.reserve_bytes as usize;
        if self.freeing.has_reserve || bytes == 0 {
            return;
        }
        let made = self
            .disk
            .create(FileId::Reserve)
            .and_then(|()| self.disk.write(FileId::Reserve, 0, &vec![0; bytes]))
            .and_then(|()| self.disk.sync(FileId::Reserve));
        self.freeing.has_reserve = made.is_ok();
        if made.is_err() {
            let _ = self.disk.remove(FileId::Reserve);
        }
    }

    /// Tries again after 1, 2, 4 … commits.
    pub(crate) fn remake_reserve(&mut self) {
        if self.freeing.has_reserve || self.settings.reserve_bytes == 0 {
            return;
        }
        if self.freeing.reserve_patience.is_over() {
            self.make_reserve();
        }
    }
}
