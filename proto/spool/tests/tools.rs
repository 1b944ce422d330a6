//! The tools on a real directory, beside a running owner and without one; and the fixtures.

#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_spool::tool::{export, export_to, ls, repair, verify};
use muster_spool::{RealDisk, Settings, Spool, SpoolError};

const STREAM: [u8; 16] = *b"fixture stream 1";

fn settings() -> Settings {
    Settings {
        segment_bytes: 4096,
        budget_bytes: 1 << 20,
        reserve_bytes: 0,
        recycle_max: 0,
        stock_files: 0,
    }
}

fn open(dir: &Path) -> Spool {
    Spool::open(Arc::new(RealDisk::open(dir).unwrap()), settings(), STREAM).unwrap().0
}

/// Entry n is "entry n" and some stars; 12 commits of 3, with notes, two cursors and one removed note.
fn fill(spool: &mut Spool) {
    spool.add_cursor("uplink", 1).unwrap();
    spool.add_cursor("store", 1).unwrap();
    spool.note(b"gone", Some(b"soon")).unwrap();
    for commit in 1..=12u64 {
        for _ in 0..3 {
            let text = body(spool.next_seq());
            spool.append(&[&text]).unwrap();
        }
        spool.note(b"commit", Some(&commit.to_le_bytes())).unwrap();
        spool.note(b"gone", None).unwrap();
        spool.commit().unwrap();
    }
    spool.advance("uplink", 20).unwrap();
    spool.advance("store", 2).unwrap();
    spool.commit().unwrap();
}

fn body(seq: u64) -> Vec<u8> {
    let mut text = format!("entry {seq} ").into_bytes();
    text.resize(200 + seq as usize, b'*');
    text
}

#[track_caller]
fn check_entries(spool: &Spool, range: std::ops::RangeInclusive<u64>) {
    let reader = spool.reader();
    for seq in range {
        assert_eq!(reader.read(seq, 1).unwrap()[0].bytes, body(seq), "entry {seq}");
    }
}

#[test]
fn ls_and_verify_look_at_a_live_spool() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    fill(&mut spool);
    spool.append(&[b"not committed"]).unwrap();
    let listing = ls(dir.path()).unwrap();
    assert_eq!((listing.stream, listing.first_seq, listing.next_seq), (Some(STREAM), 1, 37));
    assert_eq!(listing.cursors, [("store".to_owned(), 2), ("uplink".to_owned(), 20)]);
    assert_eq!(listing.notes, [(b"commit".to_vec(), 12u64.to_le_bytes().to_vec())]);
    assert_eq!(listing.segments.iter().map(|line| line.bytes).sum::<u64>(), spool.usage().bytes);
    assert!(listing.segments.len() >= 3 && listing.missing.is_empty());
    let verified = verify(dir.path()).unwrap();
    assert!(verified.is_sound());
    assert_eq!((verified.entries, verified.marks), (36, 13));
    assert_eq!(verified.segments, spool.usage().segments);
    assert!(matches!(repair(dir.path()), Err(SpoolError::Locked { .. })));
}

#[test]
fn verify_beside_a_busy_owner_finds_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = {
        let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
        Spool::open(disk, Settings { recycle_max: 3, ..settings() }, STREAM).unwrap().0
    };
    spool.add_cursor("uplink", 1).unwrap();
    spool.append(&[b"first"]).unwrap();
    spool.commit().unwrap();
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            for _ in 0..300 {
                spool.append(&[&[7; 700]]).unwrap();
                let durable = spool.commit().unwrap();
                spool.advance("uplink", durable).unwrap();
            }
        });
        while !busy.is_finished() {
            let verified = verify(dir.path()).unwrap();
            assert!(verified.damaged.is_empty(), "{verified:?}");
        }
    });
}

#[test]
fn export_gives_out_a_range() {
    let dir = tempfile::tempdir().unwrap();
    fill(&mut open(dir.path()));
    let mut seqs = Vec::new();
    let mut take = |entry: muster_spool::Entry| {
        assert_eq!(entry.bytes, body(entry.seq));
        seqs.push(entry.seq);
        ControlFlow::Continue(())
    };
    let exported = export(dir.path(), 10, 20, &mut take).unwrap();
    assert_eq!((exported.entries, exported.missing), (11, 0));
    assert_eq!(seqs, (10..=20).collect::<Vec<_>>());
    let mut bytes = Vec::new();
    export_to(dir.path(), 36, 99, &mut bytes).unwrap();
    assert_eq!(bytes[..12], [36, 0, 0, 0, 0, 0, 0, 0, 236, 0, 0, 0]);
    assert_eq!(bytes[12..], body(36));
    let mut stopped = 0;
    let mut take = |_| {
        stopped += 1;
        ControlFlow::Break(())
    };
    assert_eq!(export(dir.path(), 1, 9, &mut take).unwrap().entries, 1);
}

#[test]
fn repair_on_a_directory_keeps_every_good_entry() {
    let dir = tempfile::tempdir().unwrap();
    fill(&mut open(dir.path()));
    let file = dir.path().join("0000000000000001.seg");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[64 + 50] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let repaired = repair(dir.path()).unwrap();
    assert_eq!(repaired.rewritten, [1]);
    assert_eq!(repaired.after.missing, [(1, 1)]);
    assert_eq!(std::fs::read(dir.path().join("0000000000000001.bad")).unwrap(), bytes);
    check_entries(&open(dir.path()), 2..=36);
    assert!(repair(dir.path()).unwrap().rewritten.is_empty());
}

#[test]
fn only_the_owner_may_look_in() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b");
    fill(&mut open(&dir));
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1")
}

fn copy_of_fixture(to: &Path) {
    for entry in std::fs::read_dir(fixture()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn version_1_opens_for_ever() {
    let listing = ls(&fixture()).unwrap();
    assert_eq!((listing.stream, listing.first_seq, listing.next_seq), (Some(STREAM), 1, 37));
    assert!(verify(&fixture()).unwrap().is_sound());
    let dir = tempfile::tempdir().unwrap();
    copy_of_fixture(dir.path());
    let mut spool = open(dir.path());
    check_entries(&spool, 1..=36);
    assert_eq!(spool.stream(), STREAM);
    assert_eq!(spool.note_value(b"commit"), Some(&12u64.to_le_bytes()[..]));
    assert_eq!(spool.note_value(b"gone"), None);
    assert_eq!((spool.cursor("uplink"), spool.cursor("store")), (Some(20), Some(2)));
    let text = body(37);
    assert_eq!(spool.append(&[&text]).unwrap(), 37);
    spool.commit().unwrap();
    check_entries(&spool, 1..=37);
}

/// As long as this program writes version 1, it writes exactly these bytes.
#[test]
fn version_1_is_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    fill(&mut open(dir.path()));
    for entry in std::fs::read_dir(fixture()).unwrap() {
        let name = entry.unwrap().file_name();
        let written = std::fs::read(dir.path().join(&name)).unwrap();
        assert!(written == std::fs::read(fixture().join(&name)).unwrap(), "{name:?} differs");
    }
}
