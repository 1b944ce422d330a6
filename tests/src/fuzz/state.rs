//! The body of a state frame.

use muster_proto::frame::{inflate, open};
use muster_proto::state::{encode_state, parse_state};

use super::{Target, fixture};

pub(super) const TARGET: Target = Target { rounds: 40_000, ..Target::new("state", run, seeds) };

fn run(bytes: &[u8]) {
    if let Ok(batch) = parse_state(bytes) {
        assert_eq!(parse_state(&encode_state(&batch)).ok(), Some(batch));
    }
}

/// The body in the released frame.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let frame = fixture("proto/fixtures/v1/state.frame");
    let (header, body) = open(&frame).expect("the fixture is a frame");
    let mut raw = Vec::new();
    inflate(&header, body, &mut raw).expect("the fixture inflates");
    vec![raw]
}
