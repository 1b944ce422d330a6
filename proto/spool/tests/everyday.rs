//! A spool on a real directory, on ordinary days.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use muster_spool::{ReadError, RealDisk, Settings, Spool, SpoolError};

const STREAM: [u8; 16] = [7; 16];

fn small() -> Settings {
    Settings {
        segment_bytes: 16 * 1024,
        budget_bytes: 1 << 20,
        reserve_bytes: 4096,
        recycle_max: 2,
        stock_files: 0,
    }
}

fn open(dir: &std::path::Path) -> Spool {
    Spool::open(Arc::new(RealDisk::open(dir).unwrap()), small(), STREAM).unwrap().0
}

#[test]
fn what_is_committed_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.add_cursor("up", 1).unwrap();
    for number in 1..=100u64 {
        let seq = spool.append(&[b"entry ", number.to_string().as_bytes()]).unwrap();
        assert_eq!(seq, number);
    }
    spool.note(b"file", Some(b"at 100")).unwrap();
    assert!(spool.reader().read(1, 1000).unwrap().is_empty(), "nothing before the commit");
    assert_eq!(spool.commit().unwrap(), 100);
    spool.append(&[b"never committed"]).unwrap();
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(spool.next_seq(), 101);
    assert_eq!(spool.note_value(b"file"), Some(&b"at 100"[..]));
    assert_eq!(spool.cursor("up"), Some(0));
    let entries = spool.reader().read(1, usize::MAX).unwrap();
    assert_eq!(entries.len(), 100);
    assert_eq!(entries[41].bytes, b"entry 42");
    assert_eq!(spool.append(&[b"x"]).unwrap(), 101);
    assert_eq!(spool.commit().unwrap(), 101);
    let reader = spool.reader();
    assert_eq!(reader.read(101, 1).unwrap()[0].bytes, b"x");
}

#[test]
fn passed_segments_are_freed_and_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.add_cursor("a", 1).unwrap();
    spool.add_cursor("b", 1).unwrap();
    let reader = spool.reader();
    for round in 1..=200u64 {
        spool.append(&[&[round as u8; 1000]]).unwrap();
        let durable = spool.commit().unwrap();
        spool.advance("a", durable).unwrap();
        spool.advance("b", durable.saturating_sub(20).max(spool.cursor("b").unwrap())).unwrap();
        assert_eq!(reader.read(durable, 1).unwrap()[0].bytes, [round as u8; 1000]);
    }
    assert!(spool.usage().segments <= 4, "{:?}", spool.usage());
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert!(files <= 4 + 2 + 2, "segments, pool, reserve and lock, but there are {files}");
    assert!(spool.first_seq() > 150 && spool.first_seq() <= 181, "{}", spool.first_seq());
    assert!(
        matches!(reader.read(1, 1), Err(ReadError::Missing { from: 1, to }) if to + 1 == spool.first_seq())
    );
}

#[test]
fn a_second_owner_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _spool = open(dir.path());
    let refused = RealDisk::open(dir.path()).err().unwrap();
    assert!(matches!(refused, SpoolError::Locked { .. }));
    assert!(refused.to_string().contains("in use by another process"));
}
