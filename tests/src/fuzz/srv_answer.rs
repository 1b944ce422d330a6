//! What a name server says when it is asked for SRV records, and the file that keeps it.

use muster_agent::names::{Kept, Reply, SRV_RECORDS_MAX, encode_query, parse_answer};

use super::{Target, lossy};

pub(super) const TARGET: Target =
    Target { rounds: 60_000, ..Target::new("srv-answer", run, seeds) };

const NAME: &str = "_muster._udp.codfw.example.org";
const ID: u16 = 0x0102;

fn run(bytes: &[u8]) {
    if let Ok(Reply::Answer(answer)) = parse_answer(bytes, ID, NAME) {
        assert!((1..=SRV_RECORDS_MAX).contains(&answer.records.len()));
        for srv in answer.records {
            assert!(srv.port != 0 && !srv.target.is_empty() && srv.target.len() <= 253);
        }
    }
    let kept = Kept::parse(&lossy(bytes));
    assert_eq!(Kept::parse(&kept.to_text()), kept);
}

/// One record, one alias, the question alone, and the file.
fn seeds() -> Vec<Vec<u8>> {
    let query = encode_query(ID, NAME).expect("it is a name");
    let record = |kind: u8, rest: &[u8]| {
        let mut message = query.clone();
        // A response with one answer, whose name points to the question's; no additional record.
        (message[2], message[3], message[7], message[11]) = (0x81, 0x80, 1, 0);
        message.truncate(query.len() - 11);
        message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, rest.len() as u8]);
        message.extend_from_slice(rest);
        message
    };
    let srv = record(33, b"\0\x0a\0\x05\x1d\x24\x04agg1\x05codfw\x07example\x03org\0");
    let alias = record(5, b"\x04real\x07example\x03org\0");
    assert!(matches!(parse_answer(&srv, ID, NAME), Ok(Reply::Answer(_))), "a seed is good");
    let file = b"muster-names 1\nsrv _m._udp.a 10 5 7460 agg1.a\nhost agg1.a 10.0.0.1 fd00::1\n";
    vec![query.clone(), srv, alias, file.to_vec()]
}
