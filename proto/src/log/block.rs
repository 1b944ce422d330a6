//! Collecting lines and sealing them. On the hot path a line is two numbers, never an object.

use std::collections::HashMap;

use memchr::{memchr, memchr_iter};

use super::body::BodyOut;
use super::column::{RunWriter, put_varint, zigzag};
use super::{FLAG_CUT, LogSource, Severity};
use crate::clock::Utc;
use crate::frame::{BodyFacts, Kind, SealError, Sealed, Sealer};
use crate::limits::{
    FRAME_RECORDS_MAX, LOG_BLOCK_BYTES, LOG_LINE_BYTES_MAX, LOG_READ_BYTES,
    LOG_SOURCE_NAME_BYTES_MAX, LOG_SOURCES_BYTES, LOG_SOURCES_MAX, NAME_BYTES_MAX,
};

/// Memory a block keeps between two seals. A longer line grows it for one block only. Bytes.
const BLOB_KEEP_BYTES: usize = LOG_BLOCK_BYTES + LOG_READ_BYTES;

/// What [`LogBlock::index_lines`] found in the bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indexed {
    /// Lines that are now in the block.
    pub lines: u32,
    /// Lines of these that were longer than `LOG_LINE_BYTES_MAX` and are cut.
    pub cut: u32,
    /// NUL bytes before lines that were taken out: the hole a writer leaves behind a truncation.
    pub nul_bytes: usize,
    /// Bytes of the line at the end that has no newline yet. They stay behind the indexed lines.
    pub tail_bytes: usize,
}

/// Lines under way to one frame. Reused: its buffers are allocated once.
///
/// A file reader reads into [`room`](LogBlock::room), says how much came with
/// [`filled`](LogBlock::filled), and lets [`index_lines`](LogBlock::index_lines) find the newlines
/// where they are. The bytes are copied once more, by the CBOR writer.
///
/// The caller asks [`is_full`](LogBlock::is_full) before it adds, and adds at most `LOG_READ_BYTES`
/// or one line; then the frame's limits hold.
#[derive(Debug, Default)]
pub struct LogBlock {
    sources: Vec<LogSource>,
    numbers: HashMap<LogSource, u32>,
    sources_bytes: usize,
    runs: RunWriter,
    times: RunWriter,
    severities: RunWriter,
    flags: RunWriter,
    lens: Vec<u8>,
    /// `..indexed` are lines, `indexed..filled` is the tail, the rest is old bytes: never zeroed again.
    blob: Vec<u8>,
    indexed: usize,
    filled: usize,
    lines: u32,
    /// Time of the first line, of the last one, and the extremes.
    times_seen: Option<Times>,
    raw: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    first: Utc,
    last: Utc,
    min: Utc,
    max: Utc,
}

impl LogBlock {
    /// An empty block. Memory comes with the first line.
    pub fn new() -> LogBlock {
        LogBlock::default()
    }

    /// The number of `source` in this block; it is valid until the block is sealed.
    ///
    /// Names longer than their limit are cut at a character.
    pub fn source(&mut self, source: &LogSource) -> u32 {
        if let Some(number) = self.numbers.get(source) {
            return *number;
        }
        let mut kept = source.clone();
        shorten(&mut kept.name, LOG_SOURCE_NAME_BYTES_MAX);
        shorten(&mut kept.program, NAME_BYTES_MAX);
        shorten(&mut kept.class, NAME_BYTES_MAX);
        let number = self.sources.len() as u32;
        self.sources_bytes += kept.name.len() + kept.program.len() + kept.class.len() + 48;
        self.sources.push(kept);
        self.numbers.insert(source.clone(), number);
        number
    }

    /// `bytes` of writable room behind what is filled. It holds old bytes, not zeros.
    pub fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.filled + bytes;
        if self.blob.len() < end {
            self.blob.resize(end.max(BLOB_KEEP_BYTES), 0);
        }
        &mut self.blob[self.filled..end]
    }

    /// The first `bytes` of the last [`room`](LogBlock::room) have been written.
    ///
    /// # Panics
    /// When more is claimed than there was room: a bug in the caller.
    pub fn filled(&mut self, bytes: usize) {
        assert!(self.filled + bytes <= self.blob.len(), "more was filled than there was room");
        self.filled += bytes;
    }

    /// Makes lines of the filled bytes, up to the last newline. What follows stays as the tail.
    ///
    /// All lines get the same source, time and flags. NULs at the beginning of a line are taken out;
    /// lines over `LOG_LINE_BYTES_MAX` are cut and flagged.
    pub fn index_lines(&mut self, source: u32, at: Utc, flags: u8) -> Indexed {
        let mut found = Indexed { nul_bytes: self.squeeze_nuls(), ..Indexed::default() };
        let from = self.indexed;
        let mut start = from;
        let mut long = None;
        for newline in memchr_iter(b'\n', &self.blob[from..self.filled]) {
            let end = from + newline + 1;
            let len = end - start;
            if len > LOG_LINE_BYTES_MAX + 1 {
                long = Some(end);
                break;
            }
            put_varint(&mut self.lens, len as u64);
            found.lines += 1;
            start = end;
        }
        self.indexed = start;
        self.add(source, at, flags, u64::from(found.lines));
        if let Some(end) = long {
            let after = self.index_long(end, (source, at, flags));
            found.lines += after.lines;
            found.cut += after.cut;
        }
        found.tail_bytes = self.tail_bytes();
        found
    }

    /// The line at the front of the tail is too long and ends at `end`: cut it, then go on.
    fn index_long(&mut self, end: usize, shared: (u32, Utc, u8)) -> Indexed {
        let (source, at, flags) = shared;
        let cut_at = self.indexed + LOG_LINE_BYTES_MAX;
        put_varint(&mut self.lens, LOG_LINE_BYTES_MAX as u64);
        self.add(source, at, flags | FLAG_CUT, 1);
        self.blob.copy_within(end..self.filled, cut_at);
        self.filled -= end - cut_at;
        self.indexed = cut_at;
        let mut found = self.index_lines(source, at, flags);
        found.lines += 1;
        found.cut += 1;
        found
    }

    /// Takes the NULs at the beginnings of lines out of the filled bytes. One pass, only if needed.
    fn squeeze_nuls(&mut self) -> usize {
        let unindexed = &self.blob[self.indexed..self.filled];
        let clean = match first_nul_line(unindexed) {
            None => return 0,
            Some(at) => self.indexed + at,
        };
        let (mut read, mut write) = (clean, clean);
        while read < self.filled {
            let nuls = self.blob[read..self.filled].iter().take_while(|byte| **byte == 0).count();
            read += nuls;
            let rest = &self.blob[read..self.filled];
            let len = memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
            self.blob.copy_within(read..read + len, write);
            read += len;
            write += len;
        }
        let taken = self.filled - write;
        self.filled = write;
        taken
    }

    /// Makes the tail a line although no newline came: end of a rotated file, or too long already.
    /// Returns `false` when there is no tail. A tail over `LOG_LINE_BYTES_MAX` is cut and flagged.
    pub fn index_tail(&mut self, source: u32, at: Utc, flags: u8) -> bool {
        let tail = self.tail_bytes();
        if tail == 0 {
            return false;
        }
        let kept = tail.min(LOG_LINE_BYTES_MAX);
        let flags = if kept < tail { flags | FLAG_CUT } else { flags };
        put_varint(&mut self.lens, kept as u64);
        self.add(source, at, flags, 1);
        self.indexed += kept;
        self.filled = self.indexed;
        true
    }

    /// Moves the tail to the end of `into`, so that lines of another source can follow.
    pub fn take_tail(&mut self, into: &mut Vec<u8>) {
        into.extend_from_slice(self.tail());
        self.drop_tail();
    }

    /// Forgets the tail; the reader will read it again when its newline has come.
    pub fn drop_tail(&mut self) {
        self.filled = self.indexed;
    }

    /// Forgets the first `bytes` of the tail, e.g. the rest of a line that was cut.
    pub fn drop_tail_front(&mut self, bytes: usize) {
        let from = self.indexed + bytes.min(self.tail_bytes());
        self.blob.copy_within(from..self.filled, self.indexed);
        self.filled -= from - self.indexed;
    }

    /// Adds one line from a source that has records instead of bytes. A tail is dropped.
    /// `text` may hold newlines; over `LOG_LINE_BYTES_MAX` it is cut and flagged.
    pub fn push(&mut self, source: u32, at: Utc, marks: (Severity, u8), text: &[u8]) {
        self.drop_tail();
        let (severity, mut flags) = marks;
        let kept = &text[..text.len().min(LOG_LINE_BYTES_MAX)];
        if kept.len() < text.len() {
            flags |= FLAG_CUT;
        }
        let room = self.room(kept.len() + 1);
        room[..kept.len()].copy_from_slice(kept);
        room[kept.len()] = b'\n';
        put_varint(&mut self.lens, kept.len() as u64 + 1);
        self.filled += kept.len() + 1;
        self.indexed = self.filled;
        self.add_with(source, at, (severity, flags), 1);
    }

    fn add(&mut self, source: u32, at: Utc, flags: u8, lines: u64) {
        self.add_with(source, at, (Severity::Info, flags), lines);
    }

    fn add_with(&mut self, source: u32, at: Utc, marks: (Severity, u8), lines: u64) {
        if lines == 0 {
            return;
        }
        self.lines += lines as u32;
        self.runs.push(u64::from(source), lines);
        self.severities.push(u64::from(marks.0 as u8), lines);
        self.flags.push(u64::from(marks.1), lines);
        match &mut self.times_seen {
            None => {
                self.times_seen = Some(Times { first: at, last: at, min: at, max: at });
                self.times.push(0, lines);
            }
            // The same time goes on: the open run, whatever its delta was, gets longer.
            Some(times) if times.last == at => self.times.extend(lines),
            Some(times) => {
                let delta = at.0.wrapping_sub(times.last.0);
                times.last = at;
                times.min = times.min.min(at);
                times.max = times.max.max(at);
                self.times.flush();
                self.times.push(zigzag(delta), lines);
            }
        }
    }

    /// Seals what was indexed and empties the block; `None` when nothing was. The tail is dropped.
    ///
    /// # Errors
    /// [`SealError`]; the block keeps its lines. `Limit` cannot happen to a caller that asks
    /// [`is_full`](LogBlock::is_full) first.
    pub fn seal(&mut self, sealer: &mut Sealer) -> Result<Option<Sealed>, SealError> {
        let Some(times) = self.times_seen else {
            self.clear();
            return Ok(None);
        };
        let body = BodyOut {
            sources: &self.sources,
            start: times.first.0.wrapping_sub(times.min.0),
            runs: self.runs.finish(),
            times: self.times.finish(),
            severities: self.severities.finish(),
            flags: self.flags.finish(),
            lens: &self.lens,
            blob: &self.blob[..self.indexed],
        };
        self.raw.clear();
        serde_cbor::to_writer(&mut self.raw, &body)
            .map_err(|cause| SealError::Compress(std::io::Error::other(cause)))?;
        let facts = BodyFacts {
            kind: Kind::Log,
            dict: 0,
            records: self.lines,
            first_at: times.min,
            last_at: times.max,
        };
        let sealed = sealer.seal(facts, &self.raw)?;
        self.clear();
        Ok(Some(sealed))
    }

    /// Forgets everything in the block and keeps its memory.
    pub fn clear(&mut self) {
        self.sources.clear();
        self.numbers.clear();
        self.sources_bytes = 0;
        for column in [&mut self.runs, &mut self.times, &mut self.severities, &mut self.flags] {
            column.clear();
        }
        self.lens.clear();
        self.raw.clear();
        if self.blob.len() > BLOB_KEEP_BYTES {
            self.blob.truncate(BLOB_KEEP_BYTES);
            self.blob.shrink_to_fit();
            self.raw.shrink_to(BLOB_KEEP_BYTES);
        }
        self.indexed = 0;
        self.filled = 0;
        self.lines = 0;
        self.times_seen = None;
    }

    /// Nothing may be added before the block is sealed.
    pub fn is_full(&self) -> bool {
        self.bytes() >= LOG_BLOCK_BYTES
            || self.lines as usize >= FRAME_RECORDS_MAX / 2
            || self.sources.len() >= LOG_SOURCES_MAX
            || self.sources_bytes >= LOG_SOURCES_BYTES
    }

    /// True when no line is in the block.
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Lines in the block.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// Bytes of the lines and of their columns, without the tail.
    pub fn bytes(&self) -> usize {
        let columns = [&self.runs, &self.times, &self.severities, &self.flags];
        self.indexed + self.lens.len() + columns.iter().map(|column| column.len()).sum::<usize>()
    }

    /// The bytes behind the last indexed line.
    pub fn tail(&self) -> &[u8] {
        &self.blob[self.indexed..self.filled]
    }

    /// Length of the tail, bytes.
    pub fn tail_bytes(&self) -> usize {
        self.filled - self.indexed
    }
}

/// Where the first line that begins with a NUL begins.
fn first_nul_line(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&0) {
        return Some(0);
    }
    // NULs are rare in logs, so the search for one is a single pass that finds nothing.
    let nul = memchr(0, bytes)?;
    let before = memchr::memmem::find(&bytes[nul.saturating_sub(1)..], b"\n\0")?;
    Some(nul.saturating_sub(1) + before + 1)
}

fn shorten(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
}
