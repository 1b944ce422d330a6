//! Finding out what a directory holds. Reads only; `writer` tidies up after it.
//!
//! Room: `spool`.  May use: `segment`, `notes`, `index`.  Used by: `writer`, `tool`.
//! Reads one header of every file, and all of the newest file; older ones wait for their reader. Only
//! where headers or the newest notes are damaged does it read more.

use std::io;
use std::path::PathBuf;

use crate::disk::{Disk, FileId};
use crate::format::{HEADER_BYTES, Header, HeaderFound, Kind, VERSION, parse_header, parse_mark};
use crate::index::Kept;
use crate::limits::{FILE_BYTES_MAX, NUMBER_MAX, WINDOW_BYTES};
use crate::notes::{CURSOR, FLOOR, Notes};
use crate::replay::replay;
use crate::segment::{Scan, Step, Window};

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The directory cannot be made or opened.
    #[error("cannot open spool directory {}", dir.display())]
    Directory {
        /// Which one.
        dir: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// Another process owns it.
    #[error("spool directory {} is in use by another process; one that stops needs a few seconds", dir.display())]
    Locked {
        /// Which one.
        dir: PathBuf,
    },
    /// Its files cannot be listed.
    #[error("cannot list the spool directory")]
    List {
        /// The system's own words.
        source: io::Error,
    },
    /// A file cannot be read or written while repairing.
    #[error("cannot work on {file}")]
    File {
        /// Which one.
        file: FileId,
        /// The system's own words.
        source: io::Error,
    },
    /// A newer Muster wrote it. It is left alone.
    #[error("segment {segment} has version {version}, this program reads up to {VERSION}")]
    Newer {
        /// Which file.
        segment: u64,
        /// Its version.
        version: u32,
    },
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) stream: Option<[u8; 16]>,
    /// Oldest first, with ascending ranges of seqs.
    pub(crate) kept: Vec<Kept>,
    pub(crate) notes: Notes,
    pub(crate) next_seq: u64,
    /// First seq that was not released or dropped.
    pub(crate) floor: u64,
    /// An id above all that were ever used.
    pub(crate) next_id: u64,
    /// Where the last group of the newest file starts.
    pub(crate) last_group_at: u64,
    pub(crate) free: Vec<u64>,
    /// Segment files without committed content: reused.
    pub(crate) stale: Vec<u64>,
    /// Segment files of another stream, or of nothing we know: put aside.
    pub(crate) foreign: Vec<u64>,
    /// Files put aside before.
    pub(crate) bad: Vec<u64>,
    pub(crate) fresh: Vec<u64>,
    pub(crate) has_reserve: bool,
    /// Segments whose header had to be rebuilt from their entries.
    pub(crate) headless: u64,
    /// Good entries behind the last committed group.
    pub(crate) discarded_entries: u64,
    /// Ranges known to be missing; older segments are only looked into by readers.
    pub(crate) missing: Vec<(u64, u64)>,
    /// Lengths of all files together.
    pub(crate) disk_bytes: u64,
}

/// A segment file that is ours, by its header or by its entries.
struct Candidate {
    id: u64,
    len: u64,
    first: u64,
    stream: Option<[u8; 16]>,
    prev: Option<(u64, u64)>,
}

/// Looks through the directory.
pub(crate) fn survey(disk: &dyn Disk) -> Result<Survey, SpoolError> {
    let mut found = Survey { next_seq: 1, ..Survey::default() };
    let mut candidates = read_candidates(disk, &mut found)?;
    put_foreign_aside(&mut candidates, &mut found);
    candidates.sort_by_key(|candidate| candidate.id);
    settle_newest(disk, &mut candidates, &mut found);
    settle_ranges(&candidates, &mut found);
    rebuild_notes(disk, &mut found);
    settle_seqs(&mut found);
    Ok(found)
}

fn read_candidates(disk: &dyn Disk, found: &mut Survey) -> Result<Vec<Candidate>, SpoolError> {
    let mut files = disk.list().map_err(|source| SpoolError::List { source })?;
    files.sort_unstable();
    let mut window = Window::new();
    let mut candidates = Vec::new();
    for (file, len) in files {
        found.disk_bytes += len;
        found.next_id = found.next_id.max(file.number().unwrap_or(0));
        match file {
            FileId::Segment(id) => {
                let len = len.min(FILE_BYTES_MAX);
                candidates.extend(read_candidate(disk, &mut window, (id, len), found)?);
            }
            FileId::Free(id) => found.free.push(id),
            FileId::Bad(id) => found.bad.push(id),
            FileId::Fresh(id) => found.fresh.push(id),
            FileId::Reserve => found.has_reserve = true,
        }
    }
    found.next_id = found.next_id.saturating_add(1);
    Ok(candidates)
}

fn read_candidate(
    disk: &dyn Disk,
    window: &mut Window,
    (id, len): (u64, u64),
    found: &mut Survey,
) -> Result<Option<Candidate>, SpoolError> {
    let mut head = [0u8; HEADER_BYTES as usize];
    match disk.read(FileId::Segment(id), 0, &mut head) {
        // Freed between listing and reading, beside a running owner.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // An unreadable header is a damaged one.
        Err(_) | Ok(_) => {}
    }
    match parse_header(&head) {
        HeaderFound::Newer(version) => Err(SpoolError::Newer { segment: id, version }),
        HeaderFound::Good(header) if header.segment == id => Ok(Some(of_header(&header, len))),
        // Its name says it was recycled and its bytes say that nothing new was made durable.
        HeaderFound::Good(_) => {
            found.stale.push(id);
            Ok(None)
        }
        HeaderFound::Bad => {
            let headless = read_headless(disk, window, id, len);
            match headless {
                Some(candidate) => {
                    found.headless += 1;
                    return Ok(Some(candidate));
                }
                None if is_blank(disk, window, id, len) => found.stale.push(id),
                None => found.foreign.push(id),
            }
            Ok(None)
        }
    }
}

fn of_header(header: &Header, len: u64) -> Candidate {
    Candidate {
        id: header.segment,
        len,
        first: header.first_seq.max(1),
        stream: Some(header.stream),
        prev: (header.prev_segment != 0).then_some((header.prev_segment, header.prev_end)),
    }
}

/// A segment whose header is lost tells its first seq and its stream by its entries.
fn read_headless(disk: &dyn Disk, window: &mut Window, id: u64, len: u64) -> Option<Candidate> {
    window.forget();
    let mut scan = Scan::new(disk, window, id, 1..=u64::MAX - 1, HEADER_BYTES..len);
    let (mut first, mut stream) = (None::<u64>, None);
    while let Ok(Some(step)) = scan.next() {
        let Step::Entry { at, head } = step else { continue };
        let mut seq = head.seq;
        if head.kind == Kind::Mark {
            let (mark, _) = parse_mark(scan.body(at, &head).ok()?)?;
            seq = mark.first_seq;
            stream = mark.full;
        }
        first = Some(first.map_or(seq, |first| first.min(seq)));
        if head.kind == Kind::Mark {
            break;
        }
    }
    Some(Candidate { id, len, first: first?.max(1), stream, prev: None })
}

/// Whether a crash left a file without content: the usual face of a file whose bytes were never synced.
fn is_blank(disk: &dyn Disk, window: &mut Window, id: u64, len: u64) -> bool {
    window.forget();
    window.turn_to(FileId::Segment(id));
    let mut at = 0;
    while at < len {
        match window.bytes(disk, at, WINDOW_BYTES, len) {
            Ok([]) => return true,
            Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => at += bytes.len() as u64,
            _ => return false,
        }
    }
    true
}

/// The stream of most files is ours; of equally many, that of the oldest.
fn put_foreign_aside(candidates: &mut Vec<Candidate>, found: &mut Survey) {
    let mut votes: Vec<([u8; 16], usize)> = Vec::new();
    for stream in candidates.iter().filter_map(|candidate| candidate.stream) {
        match votes.iter_mut().find(|(known, _)| *known == stream) {
            Some((_, count)) => *count += 1,
            None => votes.push((stream, 1)),
        }
    }
    let most = votes.iter().map(|(_, count)| *count).max();
    found.stream = votes.iter().find(|(_, count)| Some(*count) == most).map(|(stream, _)| *stream);
    candidates.retain(|candidate| {
        let is_ours = candidate.stream.is_none() || candidate.stream == found.stream;
        if !is_ours {
            found.foreign.push(candidate.id);
        }
        is_ours
    });
}

/// Drops newest files that never saw a commit, and ends the newest that did where its commits end.
fn settle_newest(disk: &dyn Disk, candidates: &mut Vec<Candidate>, found: &mut Survey) {
    let mut proven: Option<(u64, u64)> = None;
    while let Some(newest) = candidates.last_mut() {
        let is_proven = proven.is_some_and(|(id, _)| id == newest.id);
        if let Some((_, end)) = proven.filter(|_| is_proven) {
            newest.len = newest.len.min(end);
        }
        let last = if is_proven { found.next_seq - 1 } else { u64::MAX - 1 };
        let mut kept = Kept::new(newest.id, newest.first);
        kept.last = last.max(kept.last);
        kept.end = newest.len;
        let replay = replay(disk, &kept, is_proven, &mut Notes::default());
        found.next_seq = found.next_seq.max(newest.first);
        found.discarded_entries += replay.discarded;
        if let Some(voided) = replay.voided {
            found.missing.push((replay.next, voided));
            found.next_seq = found.next_seq.max(voided + 1);
        }
        if replay.end > HEADER_BYTES {
            found.next_seq = found.next_seq.max(replay.next);
            found.missing.extend(replay.missing);
            newest.len = replay.end;
            found.last_group_at = replay.last_group_at;
            return;
        }
        found.stale.push(newest.id);
        proven = newest.prev;
        candidates.pop();
    }
}

/// What an older file may hold ends where the next one begins.
fn settle_ranges(candidates: &[Candidate], found: &mut Survey) {
    let mut bound = found.next_seq;
    let mut next: Option<&Candidate> = None;
    for candidate in candidates.iter().rev() {
        let mut kept = Kept::new(candidate.id, candidate.first);
        kept.last = bound - 1;
        kept.end = match next.and_then(|next| next.prev) {
            Some((id, end)) if id == candidate.id => end.min(candidate.len),
            _ => candidate.len,
        };
        // The newest is kept even when empty: it holds the notes.
        if kept.last >= kept.first || next.is_none() {
            bound = bound.min(kept.first);
            found.kept.push(kept);
        } else {
            found.stale.push(candidate.id);
        }
        next = Some(candidate);
    }
    found.kept.reverse();
}

/// The notes: the newest full mark and every mark after it.
fn rebuild_notes(disk: &dyn Disk, found: &mut Survey) {
    let newest = found.kept.len();
    let mut from = newest;
    while from > 0 {
        from -= 1;
        let mut notes = Notes::default();
        if replay(disk, &found.kept[from], true, &mut notes).stream.is_some() {
            break;
        }
    }
    let mut notes = Notes::default();
    for kept in &found.kept[from..] {
        let replay = replay(disk, kept, true, &mut notes);
        found.stream = found.stream.or(replay.stream);
    }
    found.notes = notes;
}

fn settle_seqs(found: &mut Survey) {
    let cursors = found.notes.of_kind(CURSOR).filter_map(|(_, value)| value.try_into().ok());
    let cursors: Vec<u64> =
        cursors.map(u64::from_le_bytes).map(|done| done.min(NUMBER_MAX)).collect();
    let past_cursors = cursors.iter().max().map_or(1, |most| most.saturating_add(1));
    if past_cursors > found.next_seq {
        // Files are gone whose seqs were used: they must not be used again.
        found.missing.push((found.next_seq, past_cursors - 1));
        found.next_seq = past_cursors;
    }
    if let Some(newest) = found.kept.last_mut() {
        newest.last = found.next_seq - 1;
    }
    let passed = cursors.iter().min().map_or(1, |least| least.saturating_add(1));
    let floor = found.notes.number(FLOOR).unwrap_or(1).max(passed);
    found.floor = floor.clamp(1, found.next_seq);
    let first = found.kept.first().map_or(found.next_seq, |kept| kept.first);
    if first > found.floor {
        found.missing.insert(0, (found.floor, first - 1));
    }
}
