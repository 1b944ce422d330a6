//! Control messages: [`muster_proto::control`].

use muster_proto::control::{FromAgent, FromAggregator, encode_control, parse_control};
use muster_proto::limits::CONTROL_BYTES_MAX;

use crate::{agent_messages, aggregator_messages};

#[test]
fn every_message_survives() {
    for (_, message) in agent_messages() {
        let bytes = encode_control(&message).unwrap();
        assert_eq!(parse_control::<FromAgent>(&bytes).unwrap(), message);
    }
    for (_, message) in aggregator_messages() {
        let bytes = encode_control(&message).unwrap();
        assert_eq!(parse_control::<FromAggregator>(&bytes).unwrap(), message);
    }
}

#[track_caller]
fn check_refused(bytes: &[u8], expected: &str) {
    assert_eq!(parse_control::<FromAgent>(bytes).unwrap_err().to_string(), expected);
}

#[test]
fn a_message_that_is_cut_or_followed_by_something_is_refused() {
    for (_, message) in agent_messages() {
        let bytes = encode_control(&message).unwrap();
        for have in 0..bytes.len() {
            check_refused(&bytes[..have], "document is cut short");
        }
        check_refused(&[&bytes[..], &[0]].concat(), "1 bytes follow the document");
    }
}

#[test]
fn limits_hold_in_both_directions() {
    let long = FromAgent::Bye { reason: "x".repeat(CONTROL_BYTES_MAX) };
    let said = encode_control(&long).unwrap_err().to_string();
    assert_eq!(said, "document is 65554 bytes long, over the limit of 65536");
    check_refused(&vec![0; 65_537], "document is 65537 bytes long, over the limit of 65536");
    check_refused(&[0x81; 100], "document is nested deeper than 16");
    check_refused(&[0xa1, 0x61, b'x', 0x01], "document does not have the expected fields");
    // An array that announces 2^60 entries.
    check_refused(&[0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x01], "document is cut short");
}

#[test]
fn a_field_of_a_later_version_is_skipped() {
    // {"Bye": {"reason": "stop", "later": [1]}}
    let bytes = b"\xa1\x63Bye\xa2\x66reason\x64stop\x65later\x81\x01";
    let bye = FromAgent::Bye { reason: "stop".into() };
    assert_eq!(parse_control::<FromAgent>(bytes).unwrap(), bye);
}
