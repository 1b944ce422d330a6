//! Rewriting damaged segments of a stopped spool. Every good entry is kept, under its seq.
//!
//! Room: `spool/tool`.  Needs the lock. Per damaged file: its bytes are copied to `.bad`, the good
//! entries and one full mark are written to `.fresh`, and that takes the file's place by one rename.
//! A crash leaves the old file or the new one, and at most a `.fresh` that the next start removes.

use std::path::Path;

use crate::disk::{Disk, FileId};
use crate::format::{
    ENTRY_HEAD_BYTES, EntryHead, HEADER_BYTES, Header, HeaderFound, Kind, MarkHead,
    encode_entry_head, encode_header, encode_mark_head, parse_header, seal_entry_head,
};
use crate::index::Kept;
use crate::limits::WINDOW_BYTES;
use crate::notes::{Notes, Part};
use crate::real_disk::RealDisk;
use crate::recover::{SpoolError, Survey, survey};
use crate::replay::replay;
use crate::segment::{Scan, Step, Window};
use crate::tool::{Verified, verify_on};

/// What `repair` did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repaired {
    /// Segments rewritten; the damaged originals stand aside under the same ids.
    pub rewritten: Vec<u64>,
    /// Segment files put aside whole, for nothing in them was ours.
    pub put_aside: Vec<u64>,
    /// What was wrong before.
    pub before: Verified,
    /// What is still wrong: the missing seqs stay missing.
    pub after: Verified,
}

/// Repairs a stopped spool.
///
/// # Errors
/// [`SpoolError::Locked`] while it is in use; [`SpoolError::File`] when the disk does not obey.
pub fn repair(dir: &Path) -> Result<Repaired, SpoolError> {
    repair_on(&RealDisk::open(dir)?)
}

/// Like [`repair`], on any disk that nobody else uses.
///
/// # Errors
/// As [`repair`].
pub fn repair_on(disk: &dyn Disk) -> Result<Repaired, SpoolError> {
    let before = verify_on(disk)?;
    let found = survey(disk)?;
    let mut repaired = Repaired::default();
    for id in &found.foreign {
        let (from, to) = (FileId::Segment(*id), FileId::Bad(*id));
        disk.rename(from, to).map_err(|source| SpoolError::File { file: from, source })?;
        repaired.put_aside.push(*id);
    }
    for (place, kept) in found.kept.iter().enumerate() {
        if before.damaged.iter().any(|range| range.segment == kept.id) {
            rewrite(disk, &found, place)?;
            repaired.rewritten.push(kept.id);
        }
    }
    repaired.before = before;
    repaired.after = verify_on(disk)?;
    Ok(repaired)
}

fn rewrite(disk: &dyn Disk, found: &Survey, place: usize) -> Result<(), SpoolError> {
    let kept = &found.kept[place];
    let (damaged, fresh) = (FileId::Segment(kept.id), FileId::Fresh(kept.id));
    copy(disk, damaged, FileId::Bad(kept.id))?;
    let of_fresh = |source| SpoolError::File { file: fresh, source };
    if found.fresh.contains(&kept.id) {
        disk.remove(fresh).map_err(of_fresh)?;
    }
    disk.create(fresh).map_err(of_fresh)?;
    let mut out = encode_header(&header_of(disk, found, place)).to_vec();
    let mut at = 0;
    let mut count = 0;
    let mut window = Window::new();
    let seqs = kept.first..=kept.last;
    let mut scan = Scan::new(disk, &mut window, kept.id, seqs, HEADER_BYTES..kept.end);
    let mut expected = kept.first;
    let of_damaged = |source| SpoolError::File { file: damaged, source };
    while let Some(step) = scan.next().map_err(of_damaged)? {
        let Step::Entry { at: from, head } = step else { continue };
        if head.kind == Kind::Mark || head.seq < expected {
            continue;
        }
        expected = head.seq + 1;
        count += 1;
        out.extend_from_slice(&encode_entry_head(&head));
        out.extend_from_slice(scan.body(from, &head).map_err(of_damaged)?);
        out.resize(out.len().next_multiple_of(8), 0);
        if out.len() >= WINDOW_BYTES {
            disk.write(fresh, at, &out).map_err(of_fresh)?;
            at += out.len() as u64;
            out.clear();
        }
    }
    add_mark(disk, found, place, count, &mut out);
    disk.write(fresh, at, &out).map_err(of_fresh)?;
    disk.sync(fresh).map_err(of_fresh)?;
    disk.rename(fresh, damaged).map_err(of_fresh)?;
    disk.sync(damaged).map_err(of_damaged)
}

/// Its own header if that is good, else one made from its neighbours.
fn header_of(disk: &dyn Disk, found: &Survey, place: usize) -> Header {
    let kept = &found.kept[place];
    let mut head = [0; HEADER_BYTES as usize];
    if disk.read(FileId::Segment(kept.id), 0, &mut head).is_ok()
        && let HeaderFound::Good(header) = parse_header(&head)
    {
        return header;
    }
    let before = place.checked_sub(1).map(|before| &found.kept[before]);
    Header {
        stream: found.stream.unwrap_or_default(),
        segment: kept.id,
        first_seq: kept.first,
        prev_segment: before.map_or(0, |before| before.id),
        prev_end: before.map_or(0, |before| before.end),
    }
}

/// One mark for all groups. The newest file carries all notes; an older one what it knew of them.
fn add_mark(disk: &dyn Disk, found: &Survey, place: usize, count: u32, out: &mut Vec<u8>) {
    let kept: &Kept = &found.kept[place];
    let mut notes = Notes::default();
    let was_full = replay(disk, kept, true, &mut notes).stream.is_some();
    let is_newest = place + 1 == found.kept.len();
    let notes = if is_newest { &found.notes } else { &notes };
    let full = found.stream.filter(|_| was_full || is_newest);
    let at = out.len();
    let body = at + ENTRY_HEAD_BYTES as usize;
    out.resize(body, 0);
    encode_mark_head(&MarkHead { first_seq: kept.first, count, full }, out);
    if full.is_some() {
        notes.encode_full(Part::All, out);
    }
    let len = (out.len() - body) as u32;
    let head = EntryHead { kind: Kind::Mark, crc: 0, len, segment: kept.id, seq: kept.last };
    let sealed = seal_entry_head(head, crc32c::crc32c(&out[body..]));
    out[at..body].copy_from_slice(&sealed);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// A copy for study; one that is already there is kept, for it is nearer to the accident.
fn copy(disk: &dyn Disk, from: FileId, to: FileId) -> Result<(), SpoolError> {
    let of_copy = |source| SpoolError::File { file: to, source };
    match disk.create(to) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.map_err(of_copy)?,
    }
    let mut piece = vec![0; WINDOW_BYTES];
    let mut at = 0;
    loop {
        // What cannot be read is not worth failing for: the copy ends there.
        let count = disk.read(from, at, &mut piece).unwrap_or(0);
        if count == 0 {
            break;
        }
        disk.write(to, at, &piece[..count]).map_err(of_copy)?;
        at += count as u64;
    }
    disk.sync(to).map_err(of_copy)
}
