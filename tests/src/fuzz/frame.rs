//! A frame from a peer or a spool: header, checksums, decompression.

use muster_proto::frame::{Header, Kind, inflate, open};
use muster_proto::ids::Seq;

use super::{Target, fixture, wrap};

pub(super) const TARGET: Target =
    Target { mend: |bytes| mend(bytes), rounds: 20_000, ..Target::new("frame", run, seeds) };

fn run(bytes: &[u8]) {
    let Ok((header, body)) = open(bytes) else { return };
    assert_eq!(Header::parse(&header.encode()), Ok(header));
    assert_eq!(header.body_len as usize, body.len());
    let mut raw = Vec::new();
    if inflate(&header, body, &mut raw).is_ok() {
        assert_eq!(raw.len(), header.raw_len as usize);
    }
}

fn mend(bytes: &mut [u8]) {
    let Some(len) = bytes.len().checked_sub(Header::BYTES) else { return };
    let said = u32::from_le_bytes([bytes[48], bytes[49], bytes[50], bytes[51]]) as usize;
    let body = &bytes[Header::BYTES..Header::BYTES + said.min(len)];
    let crc = crc32c::crc32c(body);
    bytes[52..56].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..76]);
    bytes[76..80].copy_from_slice(&crc.to_le_bytes());
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds =
        vec![fixture("proto/fixtures/v1/log.frame"), fixture("proto/fixtures/v1/state.frame")];
    seeds.extend(wrap::frame(Kind::Bulk, 1, Seq(1), b""));
    // A small body that inflates to the limit.
    seeds.extend(wrap::frame(
        Kind::Log,
        1,
        Seq(1),
        &vec![0; muster_proto::limits::FRAME_RAW_BYTES_MAX],
    ));
    seeds
}
