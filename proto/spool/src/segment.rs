//! Walking the entries of one segment file, over damage, in bounded memory.
//!
//! Room: `spool`.  May use: `disk`, `format`.  Used by: `recover`, `reader`, `tool`.
//! Every entry handed out has a right checksum, the right segment id and a seq within the given bounds.

use std::io;
use std::ops::RangeInclusive;

use crate::disk::{Disk, FileId};
use crate::format::{
    ENTRY_HEAD_BYTES, EntryHead, HEADER_BYTES, Kind, is_entry_magic, parse_entry_head,
};
use crate::limits::{BLOCK_BYTES, RESYNC_BYTES_MAX, WINDOW_BYTES};

/// One thing found in a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A good entry whose head starts at `at`.
    Entry { at: u64, head: EntryHead },
    /// Bytes `at..until` are not entries. At the end of the newest file this is merely the tail.
    Damage { at: u64, until: u64 },
}

/// A walk over `at..end` of one segment.
pub(crate) struct Scan<'a> {
    disk: &'a dyn Disk,
    window: &'a mut Window,
    segment: u64,
    seqs: RangeInclusive<u64>,
    at: u64,
    end: u64,
    resync_bytes_left: u64,
}

impl<'a> Scan<'a> {
    /// Walks `segment` between `at` and `end`, believing only entries with a seq in `seqs`.
    pub(crate) fn new(
        disk: &'a dyn Disk,
        window: &'a mut Window,
        segment: u64,
        seqs: RangeInclusive<u64>,
        bytes: std::ops::Range<u64>,
    ) -> Scan<'a> {
        window.turn_to(FileId::Segment(segment));
        let at = bytes.start.max(HEADER_BYTES).next_multiple_of(8);
        Scan {
            disk,
            window,
            segment,
            seqs,
            at,
            end: bytes.end,
            resync_bytes_left: RESYNC_BYTES_MAX,
        }
    }

    /// The next entry or damage; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Step>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        if let Some(head) = self.entry_at(at)? {
            self.at = at + head.span();
            return Ok(Some(Step::Entry { at, head }));
        }
        self.at = self.resync(at + 8)?;
        Ok(Some(Step::Damage { at, until: self.at }))
    }

    /// The body of the entry that `next` just returned.
    pub(crate) fn body(&mut self, at: u64, head: &EntryHead) -> io::Result<&[u8]> {
        let skip = ENTRY_HEAD_BYTES as usize;
        let all = self.window.bytes(self.disk, at, skip + head.len as usize, self.end)?;
        Ok(all.get(skip..).unwrap_or_default())
    }

    /// Where the next look happens.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    fn entry_at(&mut self, at: u64) -> io::Result<Option<EntryHead>> {
        let bytes = self.window.bytes(self.disk, at, ENTRY_HEAD_BYTES as usize, self.end)?;
        let Some(head) = parse_entry_head(bytes) else { return Ok(None) };
        let is_mark = head.kind == Kind::Mark;
        // A mark of a group without data may stand before the first seq of its file.
        let is_ours = self.seqs.contains(&head.seq)
            || (is_mark
                && head.seq.saturating_add(1) >= *self.seqs.start()
                && head.seq <= *self.seqs.end());
        if head.segment != self.segment || !is_ours {
            return Ok(None);
        }
        if at + ENTRY_HEAD_BYTES + u64::from(head.len) > self.end {
            return Ok(None);
        }
        let body = self.body(at, &head)?;
        Ok(if head.fits(body) { Some(head) } else { None })
    }

    fn resync(&mut self, from: u64) -> io::Result<u64> {
        let mut at = from;
        while at < self.end && self.resync_bytes_left > 0 {
            let want = (self.end - at).min(WINDOW_BYTES as u64) as usize;
            let bytes = self.window.bytes(self.disk, at, want, self.end)?;
            if bytes.len() < ENTRY_HEAD_BYTES as usize {
                break;
            }
            let Some(hit) = bytes.chunks_exact(8).position(is_entry_magic) else {
                at += (bytes.len() / 8 * 8) as u64;
                continue;
            };
            at += hit as u64 * 8;
            let head_bytes =
                self.window.bytes(self.disk, at, ENTRY_HEAD_BYTES as usize, self.end)?;
            if let Some(head) = parse_entry_head(head_bytes)
                && head.segment == self.segment
            {
                let cost = head.span().min(self.end - at);
                self.resync_bytes_left = self.resync_bytes_left.saturating_sub(cost);
                if self.entry_at(at)?.is_some() {
                    return Ok(at);
                }
            }
            at += 8;
        }
        Ok(self.end)
    }
}

/// A piece of one file in memory.
pub(crate) struct Window {
    file: FileId,
    /// File offset of `held[0]`.
    start: u64,
    held: Vec<u8>,
}

impl Window {
    pub(crate) fn new() -> Window {
        Window { file: FileId::Reserve, start: 0, held: Vec::new() }
    }

    pub(crate) fn turn_to(&mut self, file: FileId) {
        if self.file != file {
            self.file = file;
            self.held.clear();
        }
    }

    /// Forgets what is held, for bytes behind the old end may have been written since.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    /// `at..at+len`, or less at the end of the file or at `end`.
    pub(crate) fn bytes(
        &mut self,
        disk: &dyn Disk,
        at: u64,
        len: usize,
        end: u64,
    ) -> io::Result<&[u8]> {
        let len = (end.saturating_sub(at)).min(len as u64) as usize;
        let held_end = self.start + self.held.len() as u64;
        if self.held.is_empty() || at < self.start || at + len as u64 > held_end {
            self.fill(disk, at, len, end)?;
        }
        let skip = (at - self.start) as usize;
        let stop = (skip + len).min(self.held.len());
        Ok(self.held.get(skip..stop).unwrap_or_default())
    }

    fn fill(&mut self, disk: &dyn Disk, at: u64, len: usize, end: u64) -> io::Result<()> {
        let want = (end.saturating_sub(at)).min(len.max(WINDOW_BYTES) as u64) as usize;
        // What is held of it already is moved, not read again.
        let skip = at.checked_sub(self.start).map_or(self.held.len(), |skip| skip as usize);
        let carried = self.held.len().saturating_sub(skip).min(want);
        if carried > 0 {
            self.held.copy_within(skip..skip + carried, 0);
        }
        self.start = at;
        // Grown once and kept: zeroing it again for every read would cost as much as the read.
        if self.held.len() < want {
            self.held.resize(want, 0);
        }
        let rest = &mut self.held[carried..want];
        match read_over_bad_blocks(disk, self.file, at + carried as u64, rest) {
            Ok(count) => {
                self.held.truncate(carried + count);
                Ok(())
            }
            Err(error) => {
                self.held.clear();
                Err(error)
            }
        }
    }
}

/// Reads like the disk, but an unreadable block becomes zeroes (and then fails its checksum), so one
/// bad sector costs the entries on it and not the spool.
fn read_over_bad_blocks(
    disk: &dyn Disk,
    file: FileId,
    at: u64,
    into: &mut [u8],
) -> io::Result<usize> {
    let first = match disk.read(file, at, into) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => error,
        done => return done,
    };
    let (mut done, mut readable) = (0, 0);
    while done < into.len() {
        // Blocks as the disk has them: a bad one must not take its neighbour along.
        let left_of_block = BLOCK_BYTES - ((at + done as u64) % BLOCK_BYTES as u64) as usize;
        let stop = into.len().min(done + left_of_block);
        let block = &mut into[done..stop];
        match disk.read(file, at + done as u64, block) {
            Ok(count) if count < block.len() => {
                readable += 1;
                done += count;
                break;
            }
            Ok(_) => readable += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(_) => block.fill(0),
        }
        done = stop;
    }
    if readable == 0 { Err(first) } else { Ok(done) }
}
