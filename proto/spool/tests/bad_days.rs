//! Full, read-only and failing disks; limits; a backlog of 50 GB.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use muster_spool::format::{Header, encode_header};
use muster_spool::testing::MemDisk;
use muster_spool::{
    AppendError, CommitError, CursorError, Disk, FileId, Limit, ReadError, Settings, Spool,
};

const STREAM: [u8; 16] = [3; 16];

fn settings() -> Settings {
    Settings {
        segment_bytes: 8192,
        budget_bytes: 1 << 20,
        reserve_bytes: 2048,
        recycle_max: 2,
        stock_files: 0,
    }
}

fn open(disk: &Arc<MemDisk>) -> Spool {
    open_with(disk, settings())
}

fn open_with(disk: &Arc<MemDisk>, settings: Settings) -> Spool {
    let disk: Arc<dyn Disk> = disk.clone();
    Spool::open(disk, settings, STREAM).unwrap().0
}

/// Appends one entry of 1000 bytes of its seq.
fn append(spool: &mut Spool) -> u64 {
    let byte = spool.next_seq() as u8;
    spool.append(&[&[byte; 1000]]).unwrap()
}

#[track_caller]
fn check_entries(spool: &Spool, range: std::ops::RangeInclusive<u64>) {
    let reader = spool.reader();
    for seq in range {
        let found = reader.read(seq, 1).unwrap();
        assert_eq!((found[0].seq, &found[0].bytes[..]), (seq, &[seq as u8; 1000][..]));
    }
}

#[test]
fn a_failed_sync_is_never_taken_for_done() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open(&disk);
    append(&mut spool);
    spool.commit().unwrap();
    append(&mut spool);
    spool.note(b"n", Some(b"2")).unwrap();
    disk.faults(|faults| faults.failing_syncs = 1);
    assert!(matches!(spool.commit(), Err(CommitError::Disk { .. })));
    assert_eq!(spool.durable_seq(), 1);
    assert!(spool.reader().read(2, 1).unwrap().is_empty(), "not shown before it is durable");
    append(&mut spool);
    assert_eq!(spool.commit().unwrap(), 3);
    assert_eq!(spool.usage().segments, 2, "written again elsewhere");
    drop(spool);
    disk.crash();
    let spool = open(&disk);
    check_entries(&spool, 1..=3);
    assert_eq!(spool.note_value(b"n"), Some(&b"2"[..]));
}

#[test]
fn syncs_that_keep_failing_lose_nothing_and_fill_nothing() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open(&disk);
    append(&mut spool);
    disk.faults(|faults| faults.failing_syncs = 50);
    for _ in 0..50 {
        assert!(spool.commit().is_err());
    }
    assert!(disk.list().unwrap().len() <= 2, "{:?}", disk.list());
    assert_eq!(spool.commit().unwrap(), 1);
    check_entries(&spool, 1..=1);
}

#[test]
fn on_a_full_disk_everything_waits_and_goes_on_when_there_is_room() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open(&disk);
    append(&mut spool);
    spool.commit().unwrap();
    disk.faults(|faults| faults.room_bytes = Some(0));
    append(&mut spool);
    spool.note(b"n", Some(b"2")).unwrap();
    for _ in 0..3 {
        assert!(matches!(spool.commit(), Err(CommitError::NoRoom { .. })));
    }
    assert_eq!((spool.usage().staged_entries, spool.durable_seq()), (1, 1));
    let mut taken = 0;
    let full = loop {
        match spool.append(&[&[spool.next_seq() as u8; 1000]]) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, AppendError::Full { limit: Limit::Staged, .. }), "{full}");
    assert!(taken > 0);
    check_entries(&spool, 1..=1);
    disk.faults(|faults| faults.room_bytes = None);
    let last = spool.commit().unwrap();
    assert_eq!(last, 2 + taken);
    drop(spool);
    disk.crash();
    check_entries(&open(&disk), 1..=last);
}

#[test]
fn on_a_full_disk_cursors_are_committed_on_the_reserve() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open_with(&disk, Settings { recycle_max: 0, ..settings() });
    spool.add_cursor("up", 1).unwrap();
    for _ in 0..30 {
        append(&mut spool);
        spool.commit().unwrap();
    }
    assert!(spool.usage().has_reserve);
    let taken: u64 = disk.list().unwrap().iter().map(|(_, len)| len).sum();
    disk.faults(|faults| faults.room_bytes = Some(taken));
    // Fill what is left of the newest segment.
    let failed = loop {
        append(&mut spool);
        spool.note(b"n", Some(&spool.next_seq().to_le_bytes())).unwrap();
        if let Err(error) = spool.commit() {
            break error;
        }
    };
    assert!(matches!(failed, CommitError::NoRoom { .. }));
    let durable = spool.durable_seq();
    spool.advance("up", durable).unwrap();
    assert_eq!(spool.commit().unwrap(), durable + 1, "what the cursor released gives room");
    assert!(spool.first_seq() > 20);
    drop(spool);
    disk.crash();
    let spool = open(&disk);
    assert_eq!(spool.cursor("up"), Some(durable));
    check_entries(&spool, durable + 1..=durable + 1);
}

#[test]
fn the_reserve_comes_back_with_the_room() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open(&disk);
    append(&mut spool);
    disk.faults(|faults| faults.room_bytes = Some(0));
    assert!(spool.commit().is_err());
    assert!(!spool.usage().has_reserve);
    disk.faults(|faults| faults.room_bytes = None);
    spool.commit().unwrap();
    assert!(spool.usage().has_reserve);
}

#[test]
fn on_a_full_disk_dropping_gives_room() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open_with(&disk, Settings { reserve_bytes: 0, recycle_max: 0, ..settings() });
    spool.add_cursor("up", 1).unwrap();
    for _ in 0..30 {
        append(&mut spool);
        spool.commit().unwrap();
    }
    disk.faults(|faults| faults.room_bytes = Some(0));
    while spool.commit().is_ok() {
        append(&mut spool);
    }
    let dropped = spool.drop_oldest(10_000);
    assert!(dropped.bytes >= 10_000 && dropped.from == 1);
    disk.faults(|faults| faults.room_bytes = Some(30_000));
    spool.commit().unwrap();
    assert_eq!(spool.cursor("up"), Some(dropped.to));
}

#[test]
fn a_read_only_disk_is_named_and_waited_for() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open(&disk);
    append(&mut spool);
    spool.commit().unwrap();
    disk.faults(|faults| faults.is_read_only = true);
    append(&mut spool);
    assert!(matches!(spool.commit(), Err(CommitError::ReadOnly { .. })));
    check_entries(&spool, 1..=1);
    drop(spool);
    let mut spool = open(&disk);
    check_entries(&spool, 1..=1);
    append(&mut spool);
    assert!(matches!(spool.commit(), Err(CommitError::ReadOnly { .. })));
    disk.faults(|faults| faults.is_read_only = false);
    assert_eq!(spool.commit().unwrap(), 2);
    check_entries(&spool, 1..=2);
}

#[test]
fn too_long_is_refused_and_neighbours_stay() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open(&disk);
    append(&mut spool);
    let bytes_max = settings().entry_bytes_max();
    let long = vec![0; bytes_max as usize + 1];
    let refused = spool.append(&[&long]).unwrap_err();
    assert_eq!(refused, AppendError::TooLong { bytes: bytes_max + 1, bytes_max });
    let halves = [&long[..bytes_max as usize / 2], &long[..bytes_max as usize / 2 + 1]];
    assert!(spool.append(&halves).is_err());
    assert_eq!(spool.append(&[&long[1..]]).unwrap(), 2);
    assert_eq!(spool.append(&[]).unwrap(), 3, "an empty entry is an entry");
    spool.commit().unwrap();
    check_entries(&spool, 1..=1);
    assert_eq!(spool.reader().read(2, 1).unwrap()[0].bytes.len() as u64, bytes_max);
    assert!(spool.reader().read(3, 1).unwrap()[0].bytes.is_empty());
    assert!(matches!(spool.note(&[0; 5000], None), Err(AppendError::TooLong { .. })));
    let full = spool.note(b"k", Some(&long)).unwrap_err();
    assert!(matches!(full, AppendError::Full { limit: Limit::Notes, .. }), "{full}");
}

#[test]
fn notes_are_bounded_also_when_they_come_and_go() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open(&disk);
    for round in 0..2000u32 {
        let key = round.to_le_bytes();
        if spool.note(&key, Some(&[7; 20])).is_ok() {
            spool.note(&key, None).unwrap();
        }
    }
    spool.note(b"last", None).unwrap();
    spool.commit().unwrap();
    assert_eq!(spool.notes().count(), 0);
    spool.note(b"last", Some(b"1")).unwrap();
    spool.commit().unwrap();
    drop(spool);
    assert_eq!(open(&disk).notes().count(), 1);
}

#[test]
fn over_the_budget_it_is_full_until_something_goes() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open_with(&disk, Settings { budget_bytes: 20_000, ..settings() });
    spool.add_cursor("a", 1).unwrap();
    spool.add_cursor("b", 1).unwrap();
    let full = loop {
        match spool.append(&[&[0; 500]]) {
            Ok(_) => spool.commit().unwrap(),
            Err(error) => break error,
        };
    };
    assert!(matches!(full, AppendError::Full { limit: Limit::Budget, limit_bytes: 20_000, .. }));
    assert!(spool.usage().bytes <= 20_000 + 532 + 200, "{:?}", spool.usage());
    let last = spool.durable_seq();
    spool.advance("a", last).unwrap();
    assert!(spool.append(&[&[0; 500]]).is_err(), "the other still needs it");
    let dropped = spool.drop_oldest(1);
    assert_eq!(dropped.from, 1);
    assert_eq!((dropped.entries, spool.first_seq()), (dropped.to, dropped.to + 1));
    assert_eq!((spool.cursor("a"), spool.cursor("b")), (Some(last), Some(dropped.to)));
    assert_eq!(spool.usage().dropped_entries, dropped.entries);
    let gone = spool.reader().read(1, 1).unwrap_err();
    assert!(matches!(gone, ReadError::Missing { from: 1, to } if to == dropped.to));
    spool.append(&[&[0; 500]]).unwrap();
    spool.commit().unwrap();
    let beyond = spool.advance("b", last + 9).unwrap_err();
    assert_eq!(beyond, CursorError::Beyond { upto: last + 9, durable: last + 1 });
    let everything = spool.drop_oldest(u64::MAX);
    assert_eq!(everything.to, last + 1);
    spool.commit().unwrap();
    drop(spool);
    disk.crash();
    let spool = open(&disk);
    assert_eq!((spool.first_seq(), spool.next_seq()), (last + 2, last + 2));
    assert_eq!(spool.usage().missing_entries, 0, "what was dropped was said to be dropped");
}

#[test]
fn a_reader_outlives_the_files_it_reads() {
    let disk = Arc::new(MemDisk::new(1));
    let mut spool = open(&disk);
    spool.add_cursor("up", 1).unwrap();
    let mut slow = Vec::new();
    for round in 0..120u64 {
        append(&mut spool);
        let durable = spool.commit().unwrap();
        let reader = spool.reader();
        reader.read(durable, 1).unwrap();
        slow.push((durable, reader));
        spool.advance("up", durable).unwrap();
        for (next, reader) in &mut slow {
            match reader.read(*next, 3000) {
                Ok(found) => {
                    for entry in found {
                        assert_eq!(entry.bytes, [entry.seq as u8; 1000], "round {round}");
                        *next = entry.seq + 1;
                    }
                }
                Err(ReadError::Missing { to, .. }) => *next = to + 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert_eq!(spool.usage().missing_entries, 0, "a recycled file is not damage");
}

/// 3 200 full segments of 16 MiB, sparse: valid headers, and one small newest file.
#[test]
fn a_backlog_of_50_gb_starts_with_one_small_read_a_file() {
    const FILES: u64 = 3200;
    const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
    const ENTRIES_PER_FILE: u64 = 160;
    let disk = Arc::new(MemDisk::new(1));
    let big = Settings::with_budget(100 << 30);
    let mut spool = open_with(&disk, big);
    spool.add_cursor("up", 1).unwrap();
    append(&mut spool);
    spool.commit().unwrap();
    drop(spool);
    // Its one file becomes the newest of many.
    let mut newest = disk.bytes(FileId::Segment(1)).unwrap();
    for id in 1..=FILES {
        let (prev_segment, prev_end) = (id - 1, if id == 1 { 0 } else { SEGMENT_BYTES - 8 });
        let first_seq = (id - 1) * ENTRIES_PER_FILE + 1;
        let header = Header { stream: STREAM, segment: id, first_seq, prev_segment, prev_end };
        disk.erase(FileId::Segment(id));
        disk.plant(FileId::Segment(id), SEGMENT_BYTES, 0, &encode_header(&header));
    }
    newest = rebuilt_as(&newest, FILES + 1, FILES * ENTRIES_PER_FILE + 1, SEGMENT_BYTES - 8);
    disk.plant(FileId::Segment(FILES + 1), 0, 0, &newest);
    let before = disk.asked();
    let spool = open_with(&disk, big);
    let asked = disk.asked();
    let (reads, bytes) = (asked.reads - before.reads, asked.read_bytes - before.read_bytes);
    assert_eq!(spool.usage().entries, FILES * ENTRIES_PER_FILE + 1);
    assert!(spool.usage().bytes > 50_000_000_000);
    assert!(reads <= FILES + 50, "{reads} reads");
    assert!(bytes <= 64 * FILES + 64 * 1024, "{bytes} bytes read");
    check_newest(&spool, FILES * ENTRIES_PER_FILE + 1);
    let after = disk.asked();
    assert!(after.read_bytes - asked.read_bytes < 64 * 1024, "an entry costs its own file only");
}

fn check_newest(spool: &Spool, seq: u64) {
    let found = spool.reader().read(seq, 1).unwrap();
    assert_eq!((found[0].seq, &found[0].bytes[..]), (seq, &[1; 1000][..]));
}

/// The same file under another id and first seq, with its sums made right.
fn rebuilt_as(bytes: &[u8], id: u64, first_seq: u64, prev_end: u64) -> Vec<u8> {
    use muster_spool::format::{EntryHead, Kind, parse_entry_head, seal_entry_head};
    let header = Header { stream: STREAM, segment: id, first_seq, prev_segment: id - 1, prev_end };
    let mut out = encode_header(&header).to_vec();
    let mut at = 64;
    while let Some(head) = bytes.get(at..).and_then(parse_entry_head) {
        let mut body = bytes[at + 32..at + 32 + head.len as usize].to_vec();
        if head.kind == Kind::Mark {
            body[..8].copy_from_slice(&first_seq.to_le_bytes());
        }
        let seq = first_seq + head.seq - 1;
        let moved = EntryHead { segment: id, seq, ..head };
        out.extend_from_slice(&seal_entry_head(moved, crc32c::crc32c(&body)));
        out.extend_from_slice(&body);
        out.resize(out.len().next_multiple_of(8), 0);
        at += head.span() as usize;
    }
    out
}
