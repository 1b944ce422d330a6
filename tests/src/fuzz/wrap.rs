//! Wrapping for decoders that stand behind checksums and compression. Not a target.

use muster_proto::clock::Utc;
use muster_proto::frame::{BodyFacts, Header, Kind, Sealer};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;

/// When everything happens.
pub(super) const AT: Utc = Utc(1_795_000_000_000_000);
/// The stream of the frames made here.
pub(super) const STREAM: StreamId = StreamId([7; 16]);

/// Puts the CRC32C of everything from `from` on at `at`.
pub(super) fn mend_crc(bytes: &mut [u8], at: usize, from: usize) {
    if bytes.len() >= from.max(at + 4) {
        let crc = crc32c::crc32c(&bytes[from..]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// A number from the front of the input; 0 when it is too short.
pub(super) fn take_u64(bytes: &mut &[u8]) -> u64 {
    let Some((word, rest)) = bytes.split_first_chunk() else {
        *bytes = &[];
        return 0;
    };
    *bytes = rest;
    u64::from_le_bytes(*word)
}

/// A good frame around a body that may be anything; `None` when it is too long for one.
pub(super) fn frame(kind: Kind, records: u32, seq: Seq, body: &[u8]) -> Option<Vec<u8>> {
    let dict = u64::from(kind == Kind::Metric);
    let facts = BodyFacts { kind, dict, records, first_at: AT, last_at: AT };
    let sealed = Sealer::new().ok()?.seal(facts, body).ok()?;
    let lane = match kind {
        Kind::Log => Lane::Logs,
        Kind::State => Lane::State,
        Kind::Metric | Kind::Dict => Lane::Metrics,
        Kind::Bulk => Lane::Bulk,
    };
    let header: Header = sealed.header(lane, STREAM, seq);
    Some([&header.encode()[..], &sealed.body].concat())
}

/// A section of a log block around anything: magic, length, checksum, one zstd frame.
pub(super) fn section(magic: &[u8; 4], raw: &[u8]) -> Vec<u8> {
    let body = zstd::bulk::compress(raw, 1).expect("there is memory to compress in");
    let mut section = magic.to_vec();
    section.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    section.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    section.extend_from_slice(&body);
    section
}
