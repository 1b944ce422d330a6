//! State frames' bodies: [`muster_proto::state`].

use muster_proto::limits::{NAME_BYTES_MAX, STATE_RECORDS_MAX, TAGS_MAX, TEXT_BYTES_MAX};
use muster_proto::state::{StateBatch, StateRecord, encode_state, parse_state};

use crate::{AT, every_record};

#[test]
fn every_record_survives() {
    let batch = every_record();
    assert_eq!(parse_state(&encode_state(&batch)).unwrap(), batch);
    let empty = StateBatch { records: Vec::new() };
    assert_eq!(parse_state(&encode_state(&empty)).unwrap(), empty);
}

#[test]
fn a_body_cut_anywhere_is_refused() {
    let bytes = encode_state(&every_record());
    for have in 0..bytes.len() {
        assert!(parse_state(&bytes[..have]).is_err(), "{have} bytes");
    }
}

#[test]
fn a_changed_byte_never_panics_and_never_passes_a_limit() {
    let bytes = encode_state(&every_record());
    for at in 0..bytes.len() {
        for value in [0x00, 0x1b, 0x5b, 0x7f, 0x9b, 0xbb, 0xff] {
            let mut bad = bytes.clone();
            bad[at] = value;
            if let Ok(batch) = parse_state(&bad) {
                assert!(batch.within_limits().is_ok());
            }
        }
    }
}

#[track_caller]
fn check_limit(change: impl Fn(&mut StateRecord), expected: &str) {
    let mut batch = every_record();
    batch.records.iter_mut().for_each(change);
    assert_eq!(batch.within_limits().unwrap_err().to_string(), expected);
    assert_eq!(parse_state(&encode_state(&batch)).unwrap_err().to_string(), expected);
}

#[test]
fn each_text_and_list_has_its_limit() {
    let name = "n".repeat(NAME_BYTES_MAX + 1);
    let text = "t".repeat(TEXT_BYTES_MAX + 1);
    let over =
        |field: &str| format!("{field} of a state record is 1025 long, over the limit of 1024");
    let set = |field: &'static str, name: &str| {
        let name = name.to_owned();
        move |record: &mut StateRecord| match (record, field) {
            (StateRecord::Facts(f), "role") => f.role = name.clone(),
            (StateRecord::Facts(f), "tag") => f.tags.push(name.clone()),
            (StateRecord::Facts(f), "kernel") => f.kernel = name.clone(),
            (StateRecord::Check(c), "check id") => c.id = name.clone(),
            (StateRecord::Check(c), "evidence") => c.evidence = name.clone(),
            (StateRecord::CheckGone { instance, .. }, "check instance") => *instance = name.clone(),
            (StateRecord::Bye { reason, .. }, "reason") => *reason = name.clone(),
            _ => {}
        }
    };
    for field in ["role", "tag", "kernel", "check id", "check instance", "reason"] {
        check_limit(set(field, &name), &over(field));
    }
    check_limit(
        set("evidence", &text),
        "evidence of a state record is 65537 long, over the limit of 65536",
    );
    let tags = |record: &mut StateRecord| {
        if let StateRecord::Facts(facts) = record {
            facts.tags = vec![String::new(); TAGS_MAX + 1];
        }
    };
    check_limit(tags, "list of tags of a state record is 257 long, over the limit of 256");
}

#[test]
fn a_batch_has_a_limit() {
    let records = vec![StateRecord::FullReport { at: AT }; STATE_RECORDS_MAX + 1];
    let said = parse_state(&encode_state(&StateBatch { records })).unwrap_err().to_string();
    assert_eq!(said, "list of records of a state record is 16385 long, over the limit of 16384");
}
