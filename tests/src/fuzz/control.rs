//! Control messages, both directions.

use muster_proto::control::{FromAgent, FromAggregator, encode_control, parse_control};

use super::{Target, repository};

pub(super) const TARGET: Target = Target { rounds: 60_000, ..Target::new("control", run, seeds) };

fn run(bytes: &[u8]) {
    if let Ok(message) = parse_control::<FromAgent>(bytes)
        && let Ok(again) = encode_control(&message)
    {
        assert_eq!(parse_control::<FromAgent>(&again).ok(), Some(message));
    }
    if let Ok(message) = parse_control::<FromAggregator>(bytes)
        && let Ok(again) = encode_control(&message)
    {
        assert_eq!(parse_control::<FromAggregator>(&again).ok(), Some(message));
    }
}

/// Every released message, and CBOR that is nested or announces too much.
fn seeds() -> Vec<Vec<u8>> {
    let folder = std::fs::read_dir(repository().join("proto/fixtures/v1")).expect("the fixtures");
    let mut paths: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "cbor"));
    paths.sort();
    let mut seeds: Vec<_> =
        paths.iter().map(|path| std::fs::read(path).expect("a fixture")).collect();
    seeds.extend([
        vec![0x81; 300],
        vec![0x9f; 300],
        vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ]);
    seeds
}
