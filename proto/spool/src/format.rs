//! The bytes on disk. Little-endian throughout; version 1.
//!
//! A spool is a directory (0700) of files (0600):
//!
//! ```text
//! <id>.seg     a live segment; id = 16 hex digits, growing by creation, never used twice
//! <id>.free    a freed segment kept for reuse; its content means nothing
//! <id>.bad     a damaged segment put aside for study
//! <id>.fresh   a segment being rewritten by `repair`; removed at the next start
//! reserve      zeroes, given up when the disk is full so that cursors can still be committed
//! lock         empty; flocked by the one owner
//!
//! segment  := header entry*                                   every entry starts at a multiple of 8
//! header   := magic [u8; 8] "MusterSp" | version u32 | crc u32 | stream [u8; 16]
//!             | segment u64 | first_seq u64 | prev_segment u64 | prev_end u64              64 bytes
//! entry    := magic u32 | crc u32 | len u32 | zero u32 | segment u64 | seq u64             32 bytes
//!             | body [u8; len] | padding to a multiple of 8
//! mark body := first_seq u64 | count u32 | flags u32 | (stream [u8; 16] when FULL) | change*
//! change   := op u8 (1 put, 2 delete) | key_len u16 | value_len u32 | key | value
//! ```
//!
//! - `crc` of the header covers its other 60 bytes. `crc` of an entry covers the body, then the magic, then
//!   the 24 bytes after the crc (body first, so that staging can sum it before the segment is known).
//! - Magic tells the kind: `data` (0xD5 "MSd") or `mark` (0xD5 "MSm").
//! - A *group* is what one commit wrote: `count` data entries, then one mark. The mark's `seq` is the
//!   last seq after this group, `first_seq` the first of the group. Its changes are the notes of the
//!   group. The first mark of every segment is FULL: it carries all live notes (and the stream), so
//!   older files can be freed whole and a lost header can be rebuilt.
//! - Keys carry their kind in the first byte: `n` note, `c` cursor (value: highest seq done, u64),
//!   `f` floor (value: first seq kept, u64).
//! - `first_seq` of a header is the first seq this file may hold; an equal or higher seq in an older
//!   file is void. `prev_end` is where the durable bytes of `prev_segment` end; what lies behind is void.
//! - Every entry carries its segment's id, so stale bytes of a recycled file never parse.
//!
//! Written by: `writer`, one write and one sync a group; nothing is ever cut or changed in place.
//! Deleted by: `release`, whole files, after the commit that released them.
//! A crash leaves: whole groups, then at most one group without a valid mark (ignored), or with a mark
//! but not all of its entries (ignored and its seqs are given up, for nobody can prove that they were
//! never seen). Both only in the newest file; recovery cuts nothing and the next commit starts a new
//! file. The last group found is written over itself, the same bytes, and synced before it is shown: a
//! killed owner may never have synced it, and after a failed sync the system takes lost pages for clean.
//! A hole in any group that is followed by another mark is damage: skipped to the next entry that
//! validates, counted, reported as missing.
//! Not told apart: a last mark that rotted after its sync from one that was never synced. That group is
//! given up and its seqs are used again, unless a cursor had passed them.

use crate::limits::{BODY_BYTES_MAX, NUMBER_MAX};

/// Bytes of the header of a segment.
pub const HEADER_BYTES: u64 = 64;
/// Bytes in front of every body.
pub const ENTRY_HEAD_BYTES: u64 = 32;
/// The version this code writes, and the newest it reads.
pub const VERSION: u32 = 1;

const SEGMENT_MAGIC: [u8; 8] = *b"MusterSp";
const DATA_MAGIC: u32 = u32::from_le_bytes([0xD5, b'M', b'S', b'd']);
const MARK_MAGIC: u32 = u32::from_le_bytes([0xD5, b'M', b'S', b'm']);
const FLAG_FULL: u32 = 1;

/// The first 64 bytes of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Life of the spool directory: 128 random bits.
    pub stream: [u8; 16],
    /// Id of this file; equal to its name.
    pub segment: u64,
    /// First seq this file may hold.
    pub first_seq: u64,
    /// The file written before this one; 0 for none.
    pub prev_segment: u64,
    /// Where the durable bytes of the file before end.
    pub prev_end: u64,
}

/// What the first bytes of a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFound {
    /// A header of ours.
    Good(Header),
    /// A valid header of a version this code does not know.
    Newer(u32),
    /// Anything else.
    Bad,
}

/// Writes a header.
pub fn encode_header(header: &Header) -> [u8; HEADER_BYTES as usize] {
    let mut out = [0u8; HEADER_BYTES as usize];
    out[0..8].copy_from_slice(&SEGMENT_MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[16..32].copy_from_slice(&header.stream);
    out[32..40].copy_from_slice(&header.segment.to_le_bytes());
    out[40..48].copy_from_slice(&header.first_seq.to_le_bytes());
    out[48..56].copy_from_slice(&header.prev_segment.to_le_bytes());
    out[56..64].copy_from_slice(&header.prev_end.to_le_bytes());
    let crc = header_crc(&out);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads a header. Shorter input is [`HeaderFound::Bad`].
pub fn parse_header(bytes: &[u8]) -> HeaderFound {
    if bytes.len() < HEADER_BYTES as usize || bytes[0..8] != SEGMENT_MAGIC {
        return HeaderFound::Bad;
    }
    if u32_at(bytes, 12) != header_crc(&bytes[..HEADER_BYTES as usize]) {
        return HeaderFound::Bad;
    }
    let version = u32_at(bytes, 8);
    if version != VERSION {
        return HeaderFound::Newer(version);
    }
    let header = Header {
        stream: stream_at(bytes, 16),
        segment: u64_at(bytes, 32),
        first_seq: u64_at(bytes, 40),
        prev_segment: u64_at(bytes, 48),
        prev_end: u64_at(bytes, 56),
    };
    if header.segment.max(header.first_seq).max(header.prev_segment) > NUMBER_MAX {
        return HeaderFound::Bad;
    }
    HeaderFound::Good(header)
}

fn header_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[0..12]), &bytes[16..64])
}

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes of the caller.
    Data,
    /// End of a group, with the notes it changed.
    Mark,
}

/// The 32 bytes in front of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHead {
    /// Data or mark.
    pub kind: Kind,
    /// Checksum of body and head.
    pub crc: u32,
    /// Bytes of the body, without padding.
    pub len: u32,
    /// The file it belongs to.
    pub segment: u64,
    /// Its number; of a mark: the last number so far.
    pub seq: u64,
}

impl EntryHead {
    /// Bytes from the start of this entry to the start of the next.
    pub fn span(&self) -> u64 {
        span_of(u64::from(self.len))
    }

    /// Whether `body` is what was written.
    pub fn fits(&self, body: &[u8]) -> bool {
        body.len() == self.len as usize
            && entry_crc(crc32c::crc32c(body), &encode_entry_head(self)) == self.crc
    }
}

/// Bytes an entry with a body of `len` takes in the file.
pub fn span_of(len: u64) -> u64 {
    ENTRY_HEAD_BYTES + len.next_multiple_of(8)
}

/// Writes the head as it is, with the crc it holds.
pub fn encode_entry_head(head: &EntryHead) -> [u8; ENTRY_HEAD_BYTES as usize] {
    let mut out = [0u8; ENTRY_HEAD_BYTES as usize];
    let magic = match head.kind {
        Kind::Data => DATA_MAGIC,
        Kind::Mark => MARK_MAGIC,
    };
    out[0..4].copy_from_slice(&magic.to_le_bytes());
    out[4..8].copy_from_slice(&head.crc.to_le_bytes());
    out[8..12].copy_from_slice(&head.len.to_le_bytes());
    out[16..24].copy_from_slice(&head.segment.to_le_bytes());
    out[24..32].copy_from_slice(&head.seq.to_le_bytes());
    out
}

/// Writes the head of a body whose crc32c is `body_crc`, with the right crc.
pub fn seal_entry_head(mut head: EntryHead, body_crc: u32) -> [u8; ENTRY_HEAD_BYTES as usize] {
    head.crc = 0;
    let mut out = encode_entry_head(&head);
    let crc = entry_crc(body_crc, &out);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

fn entry_crc(body_crc: u32, head: &[u8; ENTRY_HEAD_BYTES as usize]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(body_crc, &head[0..4]), &head[8..32])
}

/// Whether an entry may start here: cheap look at the magic only.
pub fn is_entry_magic(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && matches!(u32_at(bytes, 0), DATA_MAGIC | MARK_MAGIC)
}

/// Reads a head; `None` if these bytes cannot be one. The crc is not checked here.
pub fn parse_entry_head(bytes: &[u8]) -> Option<EntryHead> {
    if bytes.len() < ENTRY_HEAD_BYTES as usize || u32_at(bytes, 12) != 0 {
        return None;
    }
    let kind = match u32_at(bytes, 0) {
        DATA_MAGIC => Kind::Data,
        MARK_MAGIC => Kind::Mark,
        _ => return None,
    };
    let len = u32_at(bytes, 8);
    let (segment, seq) = (u64_at(bytes, 16), u64_at(bytes, 24));
    if u64::from(len) > BODY_BYTES_MAX || segment.max(seq) > NUMBER_MAX {
        return None;
    }
    Some(EntryHead { kind, crc: u32_at(bytes, 4), len, segment, seq })
}

/// The fixed part of a mark's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkHead {
    /// First seq of the group (the next one to come, if the group holds no data).
    pub first_seq: u64,
    /// Data entries of the group.
    pub count: u32,
    /// The stream, when the mark carries all live notes and not only the changed ones.
    pub full: Option<[u8; 16]>,
}

/// Appends the fixed part of a mark's body.
pub fn encode_mark_head(mark: &MarkHead, out: &mut Vec<u8>) {
    out.extend_from_slice(&mark.first_seq.to_le_bytes());
    out.extend_from_slice(&mark.count.to_le_bytes());
    let flags = if mark.full.is_some() { FLAG_FULL } else { 0 };
    out.extend_from_slice(&flags.to_le_bytes());
    if let Some(stream) = &mark.full {
        out.extend_from_slice(stream);
    }
}

/// Appends one change of a note; `None` deletes.
pub fn encode_change(key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(if value.is_some() { 1 } else { 2 });
    let value = value.unwrap_or_default();
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Bytes one change takes.
pub fn change_bytes(key: &[u8], value: &[u8]) -> u64 {
    7 + key.len() as u64 + value.len() as u64
}

/// One change of a note: key, and the new value or `None` for deleted.
pub type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// Reads a mark's body; `None` if it is not well formed (the crc was right, so then a bug wrote it).
pub fn parse_mark(body: &[u8]) -> Option<(MarkHead, Vec<Change<'_>>)> {
    if body.len() < 16 {
        return None;
    }
    let full = u32_at(body, 12) & FLAG_FULL != 0;
    let mut rest = &body[16..];
    let stream = if full { Some(stream_at(rest.get(..16)?, 0)) } else { None };
    if full {
        rest = &rest[16..];
    }
    let head = MarkHead { first_seq: u64_at(body, 0), count: u32_at(body, 8), full: stream };
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let fixed = rest.get(..7)?;
        let key_len = usize::from(u16::from_le_bytes([fixed[1], fixed[2]]));
        let value_len = u32_at(fixed, 3) as usize;
        let key = rest.get(7..7 + key_len)?;
        let value = rest.get(7 + key_len..(7 + key_len).checked_add(value_len)?)?;
        match fixed[0] {
            1 => changes.push((key, Some(value))),
            2 => changes.push((key, None)),
            _ => return None,
        }
        rest = &rest[7 + key_len + value_len..];
    }
    Some((head, changes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn stream_at(bytes: &[u8], at: usize) -> [u8; 16] {
    let mut stream = [0; 16];
    stream.copy_from_slice(&bytes[at..at + 16]);
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { stream: [5; 16], segment: 9, first_seq: 100, prev_segment: 8, prev_end: 4096 };

    #[test]
    fn a_header_comes_back() {
        assert_eq!(parse_header(&encode_header(&HEADER)), HeaderFound::Good(HEADER));
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_seen() {
        for bit in 0..HEADER_BYTES as usize * 8 {
            let mut bytes = encode_header(&HEADER);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse_header(&bytes), HeaderFound::Bad, "bit {bit}");
        }
    }

    #[test]
    fn numbers_that_could_overflow_are_damage() {
        for header in [
            Header { segment: u64::MAX, ..HEADER },
            Header { first_seq: u64::MAX, ..HEADER },
            Header { prev_segment: u64::MAX, ..HEADER },
        ] {
            assert_eq!(parse_header(&encode_header(&header)), HeaderFound::Bad);
        }
        let head = EntryHead { kind: Kind::Data, crc: 0, len: 0, segment: 1, seq: u64::MAX };
        assert_eq!(parse_entry_head(&seal_entry_head(head, 0)), None);
    }

    #[test]
    fn an_entry_fits_only_its_own_body_and_head() {
        let body = b"some bytes";
        let head = EntryHead { kind: Kind::Data, crc: 0, len: 10, segment: 3, seq: 7 };
        let sealed = seal_entry_head(head, crc32c::crc32c(body));
        let parsed = parse_entry_head(&sealed).unwrap();
        assert!(parsed.fits(body));
        assert!(!parsed.fits(b"some bytez") && !parsed.fits(b"some byte"));
        assert!(!EntryHead { seq: 8, ..parsed }.fits(body));
        assert!(!EntryHead { segment: 4, ..parsed }.fits(body));
        assert!(!EntryHead { kind: Kind::Mark, ..parsed }.fits(body));
        assert_eq!(parsed.span(), 32 + 16);
    }

    #[test]
    fn a_mark_comes_back_and_any_cut_of_it_does_not() {
        let mut body = Vec::new();
        let mark = MarkHead { first_seq: 5, count: 2, full: Some([1; 16]) };
        encode_mark_head(&mark, &mut body);
        let fixed = body.len();
        encode_change(b"nkey", Some(b"value"), &mut body);
        encode_change(b"nold", None, &mut body);
        let (head, changes) = parse_mark(&body).unwrap();
        assert_eq!(head, mark);
        assert_eq!(changes, [(&b"nkey"[..], Some(&b"value"[..])), (&b"nold"[..], None)]);
        let ends = [fixed, fixed + 7 + 9];
        for len in 0..body.len() {
            assert_eq!(parse_mark(&body[..len]).is_some(), ends.contains(&len), "cut at {len}");
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = (0..rng.usize(..100)).map(|_| rng.u8(..)).collect();
            if rng.bool() && bytes.len() >= 16 {
                bytes[12..16].fill(0);
            }
            parse_mark(&bytes);
            parse_header(&bytes);
            parse_entry_head(&bytes);
        }
    }
}
