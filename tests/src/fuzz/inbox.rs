//! An entry of the aggregator's inbox: names of the sender, then the frame.

use muster_aggregator::inbox::Entry;

use super::{Target, lossy};

pub(super) const TARGET: Target =
    Target { rounds: 60_000, ..Target::new("inbox-entry", run, seeds) };

fn run(bytes: &[u8]) {
    if let Ok(entry) = Entry::parse(bytes) {
        let head = Entry::head(entry.host, entry.datacenter);
        assert_eq!([&head, entry.frame].concat(), bytes);
    }
    // Whatever a host calls its datacenter, its frames are read back.
    let name = lossy(bytes);
    let kept = [&Entry::head("db1", &name)[..], b"frame"].concat();
    let entry = Entry::parse(&kept).expect("what was written can be read");
    assert_eq!((entry.host, entry.frame), ("db1", &b"frame"[..]));
    assert!(name.starts_with(entry.datacenter));
}

fn seeds() -> Vec<Vec<u8>> {
    let entry = [&Entry::head("db1.example.org", "eqiad")[..], b"MSTR"].concat();
    vec![entry, "ä".repeat(300).into_bytes(), vec![b'a'; 254]]
}
