//! Putting a group into bytes: staged entries, then the mark, under one segment's id.
//!
//! Room: `spool`.  May use: `format`, `notes`.  Used by: `writer` (an `impl Spool` of its own).
//! Bodies are summed while they are staged; only heads are written when the segment is known.

use crate::format::{
    ENTRY_HEAD_BYTES, EntryHead, HEADER_BYTES, Header, Kind, MarkHead, encode_header,
    encode_mark_head, seal_entry_head, span_of,
};
use crate::notes::Part;
use crate::writer::Spool;

/// Staging room kept between commits. Bytes. More is given back.
const STAGING_KEPT_BYTES: usize = 1024 * 1024;

/// Entries encoded and waiting for their segment.
pub(crate) struct Staging {
    /// Room for a header, then entries.
    pub(crate) bytes: Vec<u8>,
    /// Offset of each entry in `bytes`, and the crc of its body.
    pub(crate) entries: Vec<(usize, u32, u32)>,
}

impl Staging {
    pub(crate) fn new() -> Staging {
        Staging { bytes: vec![0; HEADER_BYTES as usize], entries: Vec::new() }
    }

    /// Bytes staged, heads and padding included.
    pub(crate) fn bytes_staged(&self) -> u64 {
        self.bytes.len() as u64 - HEADER_BYTES
    }

    pub(crate) fn add(&mut self, len: u64, parts: &[&[u8]]) {
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

impl Spool {
    /// Header room, data (unless cursors only) and the mark, all under segment `id`.
    pub(crate) fn encode_group(&mut self, id: u64, is_first: bool, part: Part) -> Vec<u8> {
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
    pub(crate) fn give_back(&mut self, mut group: Vec<u8>, part: Part, is_durable: bool) {
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
}
