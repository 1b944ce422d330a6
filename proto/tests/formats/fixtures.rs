//! Files of every released format version: they open for ever. How they are made: `fixtures/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

use muster_proto::clock::Utc;
use muster_proto::control::{FromAgent, FromAggregator, encode_control, parse_control};
use muster_proto::frame::{BodyFacts, Header, Kind, Sealer, inflate, open};
use muster_proto::ids::Seq;
use muster_proto::lane::Lane;
use muster_proto::state::{encode_state, parse_state};

use crate::{AT, STREAM, agent_messages, aggregator_messages, every_record};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1").join(name)
}

/// The fixture as it was released. With `MUSTER_BLESS=1` it is written anew first.
fn fixture(name: &str, fresh: &[u8]) -> Vec<u8> {
    if std::env::var_os("MUSTER_BLESS").is_some_and(|word| word == "1") {
        fs::write(path(name), fresh).unwrap();
    }
    fs::read(path(name)).unwrap_or_else(|cause| panic!("fixture {name}: {cause}"))
}

#[test]
fn control_messages_open_and_are_still_written_the_same() {
    for (name, message) in agent_messages() {
        let fresh = encode_control(&message).unwrap();
        let kept = fixture(&format!("control-{name}.cbor"), &fresh);
        assert_eq!(parse_control::<FromAgent>(&kept).unwrap(), message, "{name}");
        assert_eq!(fresh, kept, "{name}");
    }
    for (name, message) in aggregator_messages() {
        let fresh = encode_control(&message).unwrap();
        let kept = fixture(&format!("control-{name}.cbor"), &fresh);
        assert_eq!(parse_control::<FromAggregator>(&kept).unwrap(), message, "{name}");
        assert_eq!(fresh, kept, "{name}");
    }
}

#[test]
fn the_state_frame_opens() {
    let facts =
        BodyFacts { kind: Kind::State, dict: 0, records: 7, first_at: Utc(-1), last_at: AT };
    let sealed = Sealer::new().unwrap().seal(facts, &encode_state(&every_record())).unwrap();
    let head = sealed.header(Lane::State, STREAM, Seq(42)).encode();
    // Another zstd may compress otherwise: only reading is fixed for ever.
    let kept = fixture("state.frame", &[&head[..], &sealed.body].concat());
    let (header, body) = open(&kept).unwrap();
    let expected = Header {
        lane: Lane::State,
        kind: Kind::State,
        stream: STREAM,
        seq: Seq(42),
        dict: 0,
        records: 7,
        raw_len: header.raw_len,
        body_len: (kept.len() - Header::BYTES) as u32,
        body_crc: crc32c::crc32c(body),
        first_at: Utc(-1),
        last_at: AT,
    };
    assert_eq!(header, expected);
    let mut raw = Vec::new();
    inflate(&header, body, &mut raw).unwrap();
    assert_eq!(parse_state(&raw).unwrap(), every_record());
}

#[test]
fn every_fixture_of_this_file_is_there_and_none_is_forgotten() {
    let mut names: Vec<String> = fs::read_dir(path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("control-") || name == "state.frame")
        .collect();
    names.sort();
    let mut expected: Vec<String> = agent_messages().iter().map(|m| m.0).map(file).collect();
    expected.extend(aggregator_messages().iter().map(|m| m.0).map(file));
    expected.push("state.frame".into());
    expected.sort();
    assert_eq!(names, expected);
}

fn file(message: &str) -> String {
    format!("control-{message}.cbor")
}
