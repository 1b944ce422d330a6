//! The body of a log frame. The first eight bytes are the header's time.

use muster_proto::clock::Utc;
use muster_proto::frame::{inflate, open};
use muster_proto::log::parse_log;

use super::{Target, fixture, wrap};

pub(super) const TARGET: Target = Target { rounds: 100_000, ..Target::new("log-body", run, seeds) };

fn run(mut bytes: &[u8]) {
    let first_at = Utc(wrap::take_u64(&mut bytes).cast_signed());
    let Ok(frame) = parse_log(first_at, bytes) else { return };
    let mut lines = 0;
    for line in frame.lines() {
        assert!(line.source < frame.sources.len());
        assert_eq!(line.index as usize, lines);
        lines += 1;
    }
    assert_eq!(lines, frame.len());
}

/// The body in the released frame.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let frame = fixture("proto/fixtures/v1/log.frame");
    let (header, body) = open(&frame).expect("the fixture is a frame");
    let mut raw = Vec::new();
    inflate(&header, body, &mut raw).expect("the fixture inflates");
    vec![[&header.first_at.0.to_le_bytes()[..], &raw].concat()]
}
