//! Readers: how much they get, where they go on, and beside a writer that frees and reuses files.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_spool::testing::MemDisk;
use muster_spool::{Disk, ReadError, RealDisk, Settings, Spool};

const STREAM: [u8; 16] = [8; 16];

fn settings() -> Settings {
    Settings {
        segment_bytes: 64 * 1024,
        budget_bytes: 8 << 20,
        reserve_bytes: 0,
        recycle_max: 2,
        stock_files: 0,
    }
}

fn open(disk: &Arc<MemDisk>) -> Spool {
    let disk: Arc<dyn Disk> = disk.clone();
    Spool::open(disk, settings(), STREAM).unwrap().0
}

/// Entry n has n bytes (and again from 0 at 1000).
fn filled(entries: u64) -> (Arc<MemDisk>, Spool) {
    let disk = Arc::new(MemDisk::new(entries));
    let mut spool = open(&disk);
    for seq in 1..=entries {
        spool.append(&[&vec![seq as u8; (seq % 1000) as usize]]).unwrap();
        if seq % 7 == 0 {
            spool.commit().unwrap();
        }
    }
    spool.commit().unwrap();
    (disk, spool)
}

#[track_caller]
fn check(from: u64, max_bytes: usize, expected: std::ops::RangeInclusive<u64>) {
    let (_, spool) = filled(50);
    let found = spool.reader().read(from, max_bytes).unwrap();
    let seqs: Vec<u64> = found.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, expected.collect::<Vec<_>>());
    for entry in found {
        assert_eq!(entry.bytes, vec![entry.seq as u8; entry.seq as usize]);
    }
}

#[test]
fn a_read_brings_what_fits_but_at_least_one() {
    check(1, usize::MAX, 1..=50);
    check(1, 6, 1..=3);
    check(1, 5, 1..=2);
    check(10, 21, 10..=11);
    check(10, 20, 10..=10);
    check(40, 0, 40..=40);
    check(50, 1, 50..=50);
}

#[test]
fn what_is_not_durable_is_an_empty_answer() {
    let (_, mut spool) = filled(5);
    let reader = spool.reader();
    assert!(reader.read(6, 100).unwrap().is_empty());
    assert!(reader.read(u64::MAX, 100).unwrap().is_empty());
    assert!(matches!(reader.read(0, 100), Err(ReadError::Missing { from: 0, to: 0 })));
    spool.append(&[b"6"]).unwrap();
    assert!(reader.read(6, 100).unwrap().is_empty());
    spool.commit().unwrap();
    assert_eq!(reader.read(6, 100).unwrap()[0].bytes, b"6");
    assert_eq!((reader.first_seq(), reader.durable_seq()), (1, 6));
}

#[test]
fn in_order_or_at_random_it_is_the_same() {
    let (disk, spool) = filled(900);
    assert!(spool.usage().segments > 5);
    drop(spool);
    let spool = open(&disk);
    let reader = spool.reader();
    let mut rng = fastrand::Rng::with_seed(2);
    for _ in 0..300 {
        let seq = rng.u64(1..=900);
        for entry in reader.read(seq, rng.usize(..5000)).unwrap() {
            assert_eq!(entry.bytes, vec![entry.seq as u8; entry.seq as usize]);
        }
    }
    let mut next = 1;
    let other = reader.clone();
    while next <= 900 {
        let found = other.read(next, 10_000).unwrap();
        assert_eq!(found[0].seq, next);
        next += found.len() as u64;
    }
}

#[test]
fn following_reads_each_byte_about_once() {
    let (disk, spool) = filled(900);
    let reader = spool.reader();
    let before = disk.asked().read_bytes;
    let mut next = 1;
    while next <= 900 {
        next += reader.read(next, 2000).unwrap().len() as u64;
    }
    let read = disk.asked().read_bytes - before;
    assert!(read <= spool.usage().bytes * 3 / 2, "{read} of {}", spool.usage().bytes);
}

#[test]
fn accounts_are_what_is_on_the_disk() {
    let (disk, mut spool) = filled(900);
    let on_disk = || -> u64 { disk.list().unwrap().iter().map(|(_, len)| len).sum() };
    assert_eq!(spool.usage().bytes, on_disk());
    assert_eq!(spool.usage().entries, 900);
    spool.add_cursor("up", 1).unwrap();
    spool.advance("up", 890).unwrap();
    spool.commit().unwrap();
    assert!(spool.usage().bytes <= on_disk());
    let segments = disk.list().unwrap().len() as u64;
    assert_eq!(spool.usage().segments + spool.usage().free_segments, segments);
    let again = spool.usage();
    drop(spool);
    let spool = open(&disk);
    assert_eq!((spool.usage().bytes, spool.usage().entries), (again.bytes, again.entries));
}

#[test]
fn readers_beside_a_busy_writer_see_every_entry_once_and_right() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let mut spool = Spool::open(disk, settings(), STREAM).unwrap().0;
    spool.add_cursor("fast", 1).unwrap();
    let is_done = AtomicBool::new(false);
    let (first, second) = (spool.reader(), spool.reader());
    std::thread::scope(|scope| {
        for reader in [first, second] {
            let is_done = &is_done;
            scope.spawn(move || {
                let (mut next, mut seen) = (1, 0u64);
                loop {
                    let was_done = is_done.load(Ordering::SeqCst);
                    match reader.read(next, 20_000) {
                        Ok(found) if found.is_empty() && was_done => break,
                        Ok(found) => {
                            for entry in found {
                                assert_eq!(entry.seq, next);
                                assert_eq!(entry.bytes, vec![entry.seq as u8; 3000]);
                                (next, seen) = (next + 1, seen + 1);
                            }
                        }
                        // Too slow: released before it was read.
                        Err(ReadError::Missing { to, .. }) => next = to + 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                assert_eq!(next, 2001);
                assert!(seen > 0);
            });
        }
        for seq in 1..=2000u64 {
            spool.append(&[&vec![seq as u8; 3000]]).unwrap();
            if seq % 4 == 0 {
                let durable = spool.commit().unwrap();
                spool.advance("fast", durable.saturating_sub(10)).unwrap();
            }
        }
        spool.commit().unwrap();
        is_done.store(true, Ordering::SeqCst);
    });
    assert_eq!(spool.usage().missing_entries, 0);
}

/// The lying disk must lie as announced, or the crash tests prove nothing.
#[test]
fn the_lying_disk_loses_what_was_not_synced() {
    use muster_spool::FileId;
    let file = FileId::Segment(1);
    let mut lost = [false; 3];
    for seed in 0..50 {
        let disk = MemDisk::new(seed);
        disk.create(file).unwrap();
        disk.write(file, 0, &[1; 2048]).unwrap();
        disk.sync(file).unwrap();
        disk.write(file, 0, &[2; 2048]).unwrap();
        disk.create(FileId::Reserve).unwrap();
        disk.crash();
        let bytes = disk.bytes(file).unwrap();
        for sector in bytes.chunks(512) {
            assert!(sector == [1; 512] || sector == [2; 512], "torn at sectors only");
        }
        let news = bytes.iter().filter(|byte| **byte == 2).count();
        lost[0] |= news == 0;
        lost[1] |= news > 0 && news < 2048;
        lost[2] |= disk.bytes(FileId::Reserve).is_none();
    }
    assert_eq!(lost, [true; 3]);
}

#[test]
fn the_lying_disk_forgets_pages_after_a_failed_sync() {
    use muster_spool::FileId;
    let file = FileId::Segment(1);
    let is_lost = |seed: u64| {
        let disk = MemDisk::new(seed);
        disk.create(file).unwrap();
        disk.sync(file).unwrap();
        disk.write(file, 0, &[2; 2048]).unwrap();
        disk.faults(|faults| faults.failing_syncs = 1);
        assert!(disk.sync(file).is_err());
        assert_eq!(disk.bytes(file).unwrap(), [2; 2048], "still to be seen");
        disk.sync(file).unwrap();
        disk.crash();
        disk.bytes(file).unwrap() != [2; 2048]
    };
    assert!((0..20).any(is_lost), "a second sync that succeeds proves nothing");
}
