//! Looking into a spool from outside: list, verify, export; and `repair` for a stopped one.
//!
//! Room: `spool`.  Used by: the agent's and the aggregator's `spool` commands, which do the printing.
//! `ls`, `verify` and `export` only read and need no lock: beside a running owner they show what was
//! committed when they looked, and a file freed meanwhile counts as gone, not as damaged.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use crate::disk::{Disk, FileId};
use crate::format::{HEADER_BYTES, HeaderFound, Kind, parse_header};
use crate::index::Kept;
use crate::notes::{CURSOR, NOTE};
use crate::reader::Entry;
use crate::real_disk::RealDisk;
use crate::recover::{SpoolError, Survey, survey};
use crate::segment::{Scan, Step, Window};

pub use repair::{Repaired, repair, repair_on};

mod repair;

/// What `ls` found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The life of the directory; `None` when nothing was ever committed.
    pub stream: Option<[u8; 16]>,
    /// Oldest seq kept.
    pub first_seq: u64,
    /// Seq of the next entry.
    pub next_seq: u64,
    /// Live segments, oldest first.
    pub segments: Vec<SegmentLine>,
    /// Cursors by name, with the last seq done.
    pub cursors: Vec<(String, u64)>,
    /// Notes by key.
    pub notes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Ranges known to be missing without reading everything; `verify` finds the rest.
    pub missing: Vec<(u64, u64)>,
    /// Freed files waiting for reuse.
    pub free_segments: u64,
    /// Ids of files put aside.
    pub quarantined: Vec<u64>,
    /// Ids of segment files that are not ours or hold nothing that parses.
    pub foreign: Vec<u64>,
    /// Bytes of all files together.
    pub disk_bytes: u64,
    /// The reserve for cursors is in place.
    pub has_reserve: bool,
}

impl Listing {
    /// Bytes committed in live segments.
    pub fn kept_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// One segment, as `ls` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentLine {
    /// Id of the file.
    pub segment: u64,
    /// First seq it may hold.
    pub first_seq: u64,
    /// Last seq it may hold; `first_seq - 1` when it holds none.
    pub last_seq: u64,
    /// Bytes committed in it, header and notes included.
    pub bytes: u64,
}

/// What `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Entries with a right checksum.
    pub entries: u64,
    /// Their bytes, without heads.
    pub bytes: u64,
    /// Marks (commits) with a right checksum.
    pub marks: u64,
    /// Bytes that are neither.
    pub damaged: Vec<DamagedRange>,
    /// Seqs that should be there and are not.
    pub missing: Vec<(u64, u64)>,
    /// Segments that could not be read at all.
    pub unreadable: Vec<u64>,
    /// Ids of segment files that are not ours or hold nothing that parses.
    pub foreign: Vec<u64>,
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty()
            && self.missing.is_empty()
            && self.unreadable.is_empty()
            && self.foreign.is_empty()
    }
}

/// A run of bytes that does not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedRange {
    /// Id of the file.
    pub segment: u64,
    /// First byte.
    pub at: u64,
    /// The byte after the last.
    pub until: u64,
}

/// What `export` gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Entries given out.
    pub entries: u64,
    /// Their bytes, without heads.
    pub bytes: u64,
    /// Seqs in the range that are not there.
    pub missing: u64,
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The spool cannot be read.
    #[error("cannot read the spool")]
    Spool {
        /// Why.
        source: SpoolError,
    },
    /// The target does not take more.
    #[error("cannot write the export")]
    Target {
        /// The system's own words.
        source: io::Error,
    },
}

/// Lists a spool directory, live or stopped.
///
/// # Errors
/// [`SpoolError`] when the directory cannot be read or a newer program wrote it.
pub fn ls(dir: &Path) -> Result<Listing, SpoolError> {
    ls_on(&RealDisk::open_read_only(dir)?)
}

/// Like [`ls`], on any disk.
///
/// # Errors
/// As [`ls`].
pub fn ls_on(disk: &dyn Disk) -> Result<Listing, SpoolError> {
    let found = survey(disk)?;
    let cursors = found.notes.of_kind(CURSOR).filter_map(|(name, value)| {
        let done = u64::from_le_bytes(value.try_into().ok()?);
        Some((String::from_utf8_lossy(name).into_owned(), done))
    });
    let notes = found.notes.of_kind(NOTE).map(|(key, value)| (key.to_vec(), value.to_vec()));
    Ok(Listing {
        stream: found.stream,
        first_seq: found.kept.first().map_or(found.next_seq, |kept| kept.first),
        next_seq: found.next_seq,
        segments: found.kept.iter().map(SegmentLine::of).collect(),
        cursors: cursors.collect(),
        notes: notes.collect(),
        missing: found.missing,
        free_segments: found.free.len() as u64,
        quarantined: found.bad,
        foreign: found.foreign,
        disk_bytes: found.disk_bytes,
        has_reserve: found.has_reserve,
    })
}

impl SegmentLine {
    fn of(kept: &Kept) -> SegmentLine {
        let (segment, first_seq, last_seq) = (kept.id, kept.first, kept.last);
        SegmentLine { segment, first_seq, last_seq, bytes: kept.end }
    }
}

/// Reads every entry of a spool directory, live or stopped, and checks it.
///
/// # Errors
/// As [`ls`]. Damage is not an error, it is the answer.
pub fn verify(dir: &Path) -> Result<Verified, SpoolError> {
    verify_on(&RealDisk::open_read_only(dir)?)
}

/// Like [`verify`], on any disk.
///
/// # Errors
/// As [`ls`].
pub fn verify_on(disk: &dyn Disk) -> Result<Verified, SpoolError> {
    let found = survey(disk)?;
    let mut verified = Verified { foreign: found.foreign.clone(), ..Verified::default() };
    verified.missing.extend(missing_before(&found));
    for kept in &found.kept {
        let mut part = Verified::default();
        let outcome = verify_segment(disk, kept, &mut part);
        // Freed while it was read: what looks like damage is a file on its way to reuse.
        if (outcome.is_err() || !part.is_sound()) && !is_listed(disk, kept.id)? {
            continue;
        }
        match outcome {
            Ok(()) => verified.segments += 1,
            Err(_) => verified.unreadable.push(kept.id),
        }
        verified.entries += part.entries;
        verified.bytes += part.bytes;
        verified.marks += part.marks;
        verified.damaged.extend(part.damaged);
        verified.missing.extend(part.missing);
    }
    Ok(verified)
}

fn is_listed(disk: &dyn Disk, id: u64) -> Result<bool, SpoolError> {
    let files = disk.list().map_err(|source| SpoolError::List { source })?;
    Ok(files.iter().any(|(file, _)| *file == FileId::Segment(id)))
}

/// What is missing in front of the oldest segment.
fn missing_before(found: &Survey) -> Option<(u64, u64)> {
    let first = found.kept.first().map_or(found.next_seq, |kept| kept.first);
    (first > found.floor).then(|| (found.floor, first - 1))
}

fn verify_segment(disk: &dyn Disk, kept: &Kept, verified: &mut Verified) -> io::Result<()> {
    let mut head = [0; HEADER_BYTES as usize];
    let is_read = disk.read(FileId::Segment(kept.id), 0, &mut head).is_ok();
    if !is_read || !matches!(parse_header(&head), HeaderFound::Good(_)) {
        verified.damaged.push(DamagedRange { segment: kept.id, at: 0, until: HEADER_BYTES });
    }
    let mut expected = kept.first;
    let mut window = Window::new();
    let mut scan =
        Scan::new(disk, &mut window, kept.id, kept.first..=kept.last, HEADER_BYTES..kept.end);
    while let Some(step) = scan.next()? {
        match step {
            Step::Damage { at, until } => {
                verified.damaged.push(DamagedRange { segment: kept.id, at, until });
            }
            Step::Entry { head, .. } if head.kind == Kind::Mark => verified.marks += 1,
            Step::Entry { head, .. } if head.seq < expected => {}
            Step::Entry { head, .. } => {
                if head.seq > expected {
                    verified.missing.push((expected, head.seq - 1));
                }
                expected = head.seq + 1;
                verified.entries += 1;
                verified.bytes += u64::from(head.len);
            }
        }
    }
    if expected <= kept.last {
        verified.missing.push((expected, kept.last));
    }
    Ok(())
}

/// Gives out every good entry of `from..=to`, in order, until `take` breaks.
///
/// # Errors
/// As [`ls`]. Damaged entries are counted as missing.
pub fn export(
    dir: &Path,
    from: u64,
    to: u64,
    take: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<Exported, SpoolError> {
    export_on(&RealDisk::open_read_only(dir)?, from, to, take)
}

/// Like [`export`], on any disk.
///
/// # Errors
/// As [`ls`].
pub fn export_on(
    disk: &dyn Disk,
    from: u64,
    to: u64,
    take: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<Exported, SpoolError> {
    let found = survey(disk)?;
    let mut exported = Exported::default();
    let mut expected = from.max(found.floor);
    let to = to.min(found.next_seq - 1);
    let first = expected;
    for kept in found.kept.iter().filter(|kept| kept.last >= first && kept.first <= to) {
        let mut window = Window::new();
        let seqs = kept.first..=kept.last.min(to);
        let mut scan = Scan::new(disk, &mut window, kept.id, seqs, HEADER_BYTES..kept.end);
        // A file that cannot be read counts as missing, like one that is damaged throughout.
        while let Ok(Some(step)) = scan.next() {
            let Step::Entry { at, head } = step else { continue };
            if head.kind == Kind::Mark || head.seq < expected {
                continue;
            }
            let Ok(body) = scan.body(at, &head) else { break };
            exported.missing += head.seq - expected;
            expected = head.seq + 1;
            exported.entries += 1;
            exported.bytes += body.len() as u64;
            if take(Entry { seq: head.seq, bytes: body.to_vec() }).is_break() {
                return Ok(exported);
            }
        }
    }
    exported.missing += (to + 1).saturating_sub(expected);
    Ok(exported)
}

/// Writes every good entry of `from..=to` as `seq u64 | len u32 | bytes`, little-endian.
///
/// # Errors
/// [`ExportError::Spool`] as [`ls`]; [`ExportError::Target`] when `target` fails.
pub fn export_to(
    dir: &Path,
    from: u64,
    to: u64,
    target: &mut dyn Write,
) -> Result<Exported, ExportError> {
    let mut failure = None;
    let mut take = |entry: Entry| {
        let written = target
            .write_all(&entry.seq.to_le_bytes())
            .and_then(|()| target.write_all(&(entry.bytes.len() as u32).to_le_bytes()))
            .and_then(|()| target.write_all(&entry.bytes));
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let exported =
        export(dir, from, to, &mut take).map_err(|source| ExportError::Spool { source })?;
    match failure {
        Some(source) => Err(ExportError::Target { source }),
        None => Ok(exported),
    }
}
