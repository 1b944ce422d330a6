//! Bytes that are not as they were: flipped, cut, zeroed, foreign, stale, gone. Counts are exact.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use muster_spool::testing::MemDisk;
use muster_spool::tool::{ls_on, repair_on, verify_on};
use muster_spool::{Disk, Entry, FileId, Opened, ReadError, Reader, Settings, Spool};

const STREAM: [u8; 16] = [3; 16];
const HEAD: u64 = 64;
/// An entry of 200 bytes with its head.
const ENTRY: u64 = 32 + 200;

fn settings() -> Settings {
    Settings {
        segment_bytes: 4096,
        budget_bytes: 1 << 20,
        reserve_bytes: 0,
        recycle_max: 2,
        stock_files: 0,
    }
}

fn open(disk: &Arc<MemDisk>) -> (Spool, Opened) {
    let disk: Arc<dyn Disk> = disk.clone();
    Spool::open(disk, settings(), STREAM).unwrap()
}

/// `commits` groups of two entries of 200 bytes and a note; entry n is 200 times the byte n.
fn filled(commits: u64) -> Arc<MemDisk> {
    let disk = Arc::new(MemDisk::new(commits));
    let (mut spool, opened) = open(&disk);
    assert!(opened.is_new);
    spool.add_cursor("up", 1).unwrap();
    for commit in 1..=commits {
        for _ in 0..2 {
            let byte = spool.next_seq() as u8;
            spool.append(&[&[byte; 200]]).unwrap();
        }
        spool.note(b"commit", Some(&commit.to_le_bytes())).unwrap();
        spool.commit().unwrap();
    }
    disk
}

fn read_all(reader: &Reader) -> (Vec<u64>, Vec<(u64, u64)>) {
    let (mut next, mut seqs, mut gaps) = (1, Vec::new(), Vec::new());
    loop {
        match reader.read(next, 1000) {
            Ok(found) if found.is_empty() => return (seqs, gaps),
            Ok(found) => {
                for Entry { seq, bytes } in found {
                    assert_eq!((seq, &bytes[..]), (next, &[seq as u8; 200][..]));
                    seqs.push(seq);
                    next += 1;
                }
            }
            Err(ReadError::Missing { from, to }) => {
                assert_eq!(from, next);
                gaps.push((from, to));
                next = to + 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn flip(disk: &MemDisk, file: FileId, at: u64, mask: u8) {
    let byte = disk.bytes(file).unwrap()[at as usize] ^ mask;
    disk.plant(file, 0, at, &[byte]);
}

/// What a disk of `commits` groups shows after `harm`: gaps, next seq, and the counts agree.
#[track_caller]
fn check(commits: u64, harm: impl FnOnce(&MemDisk), gaps: &[(u64, u64)], next_seq: u64) -> Opened {
    let disk = filled(commits);
    harm(&disk);
    let (mut spool, opened) = open(&disk);
    let (seqs, found) = read_all(&spool.reader());
    assert_eq!(found, gaps);
    assert_eq!(spool.next_seq(), next_seq);
    let missing: u64 = gaps.iter().map(|(from, to)| to + 1 - from).sum();
    assert_eq!(seqs.len() as u64 + missing, next_seq - 1);
    assert_eq!(spool.usage().missing_entries, missing, "counted exactly, and once");
    read_all(&spool.reader());
    assert_eq!(spool.usage().missing_entries, missing, "counted exactly, and once");
    // It goes on collecting.
    assert_eq!(spool.append(&[&[next_seq as u8; 200]]).unwrap(), next_seq);
    spool.commit().unwrap();
    assert_eq!(read_all(&spool.reader()).0.last(), Some(&next_seq));
    drop(spool);
    let (spool, _) = open(&disk);
    assert_eq!(read_all(&spool.reader()).1, gaps, "the same after another start");
    opened
}

/// Commits that fill the first segment (2 × 232 and a mark each), and some more.
const COMMITS: u64 = 20;

fn segments() -> Vec<(u64, u64, u64)> {
    let lines = ls_on(&*filled(COMMITS)).unwrap().segments;
    lines.iter().map(|line| (line.segment, line.first_seq, line.last_seq)).collect()
}

#[test]
fn an_unharmed_spool_is_sound() {
    let disk = filled(COMMITS);
    assert!(segments().len() >= 3);
    assert!(verify_on(&*disk).unwrap().is_sound());
    assert_eq!(verify_on(&*disk).unwrap().entries, 2 * COMMITS);
    check(COMMITS, |_| {}, &[], 41);
}

#[test]
fn each_flipped_byte_of_an_old_entry_costs_that_entry() {
    let (id, first, _) = segments()[0];
    assert_eq!((id, first), (1, 1));
    // Magic, crc, len (small and huge), zero, segment, seq, body: entry 2 is the second of the file.
    for at in [0, 3, 4, 7, 8, 9, 10, 11, 12, 16, 23, 24, 31, 32, 231] {
        for mask in [1, 0x80, 0xFF] {
            let place = HEAD + ENTRY + at;
            check(COMMITS, |disk| flip(disk, FileId::Segment(1), place, mask), &[(2, 2)], 41);
        }
    }
}

#[test]
fn a_flipped_byte_of_any_old_mark_costs_no_entry() {
    for at in 0..48 {
        let place = HEAD + 2 * ENTRY + at;
        check(COMMITS, |disk| flip(disk, FileId::Segment(1), place, 0x10), &[], 41);
    }
}

#[test]
fn a_flipped_byte_of_any_header_costs_no_entry() {
    for (id, _, _) in segments() {
        for at in 0..HEAD {
            let opened = check(COMMITS, |disk| flip(disk, FileId::Segment(id), at, 4), &[], 41);
            assert_eq!((opened.rebuilt_headers, opened.quarantined), (1, 0));
        }
    }
}

#[test]
fn a_flipped_byte_of_the_last_group_gives_up_that_group_and_its_seqs() {
    let (id, first, last) = *segments().last().unwrap();
    assert_eq!((last, (last + 1 - first) % 2), (40, 0));
    let disk = filled(COMMITS);
    let end = ls_on(&*disk).unwrap().segments.last().unwrap().bytes;
    // The entries are harmed but the mark is there: nobody can prove that 39 and 40 were never seen.
    let mark = 32 + 48;
    let place = end - mark - ENTRY;
    let opened = check(COMMITS, |disk| flip(disk, FileId::Segment(id), place, 1), &[(39, 40)], 41);
    assert_eq!(opened.missing, [(39, 40)]);
    // The mark itself is harmed: the usual torn tail.
    let opened = check(COMMITS, |disk| flip(disk, FileId::Segment(id), end - 16, 1), &[], 39);
    assert_eq!(opened.discarded_entries, 2);
}

#[test]
fn random_bytes_anywhere_never_panic_and_lose_only_what_they_hit() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = filled(COMMITS);
        for _ in 0..rng.u8(1..6) {
            let (id, _, _) = segments()[rng.usize(..3)];
            let at = rng.u64(..4096);
            let bytes: Vec<u8> = (0..rng.usize(1..600)).map(|_| rng.u8(..)).collect();
            disk.plant(FileId::Segment(id), 0, at, &bytes);
        }
        let (spool, _) = open(&disk);
        let (seqs, gaps) = read_all(&spool.reader());
        let missing: u64 = gaps.iter().map(|(from, to)| to + 1 - from).sum();
        assert_eq!(seqs.len() as u64 + missing, spool.next_seq() - 1, "seed {seed}");
        verify_on(&*disk).unwrap();
        drop(spool);
        repair_on(&*disk).unwrap();
        let (spool, _) = open(&disk);
        assert_eq!(read_all(&spool.reader()).0, seqs, "seed {seed}: repair keeps what is good");
    }
}

#[test]
fn a_cut_old_file_loses_its_tail_only() {
    let (_, first, _) = segments()[1];
    let cut = HEAD + ENTRY + 100;
    check(COMMITS, |disk| disk.cut(FileId::Segment(1), cut), &[(2, first - 1)], 41);
    check(COMMITS, |disk| disk.cut(FileId::Segment(1), 10), &[(1, first - 1)], 41);
}

#[test]
fn zeroed_and_vanished_files_lose_their_entries_and_no_others() {
    let (id, first, last) = segments()[1];
    let zeroes = [0u8; 4096];
    let file = FileId::Segment(id);
    check(COMMITS, |disk| disk.plant(file, 0, 0, &zeroes), &[(first, last)], 41);
    check(COMMITS, |disk| disk.erase(file), &[(first, last)], 41);
}

#[test]
fn a_lost_newest_file_takes_its_notes_along_but_older_ones_hold() {
    let (id, first, last) = *segments().last().unwrap();
    let disk = filled(COMMITS);
    disk.erase(FileId::Segment(id));
    let (spool, _) = open(&disk);
    assert_eq!(spool.next_seq(), first);
    let commit = u64::from_le_bytes(spool.note_value(b"commit").unwrap().try_into().unwrap());
    assert_eq!(commit, (first - 1) / 2, "notes as old as the data, last was {last}");
    assert_eq!(spool.stream(), STREAM);
}

#[test]
fn seqs_below_a_cursor_are_not_given_out_again() {
    let disk = filled(COMMITS);
    let (mut spool, _) = open(&disk);
    spool.advance("up", 40).unwrap();
    spool.commit().unwrap();
    let kept: Vec<u64> = ls_on(&*disk).unwrap().segments.iter().map(|line| line.segment).collect();
    drop(spool);
    for id in &kept[..kept.len() - 1] {
        disk.erase(FileId::Segment(*id));
    }
    assert_eq!(open(&disk).0.next_seq(), 41);
}

#[test]
fn a_foreign_file_is_put_aside() {
    let other = Arc::new(MemDisk::new(5));
    let as_dyn: Arc<dyn Disk> = other.clone();
    let (mut spool, _) = Spool::open(as_dyn, settings(), [9; 16]).unwrap();
    spool.append(&[b"not ours"]).unwrap();
    spool.commit().unwrap();
    let foreign = other.bytes(FileId::Segment(1)).unwrap();
    // Under a newer name it is stale (its header says 1); under its own it is of another stream.
    let rubbish: Vec<u8> = (0..2000u32).map(|n| (n * 7) as u8 | 1).collect();
    let opened = check(
        COMMITS,
        |disk| {
            disk.plant(FileId::Segment(90), 0, 0, &foreign);
            disk.plant(FileId::Segment(91), 0, 0, &rubbish);
        },
        &[],
        41,
    );
    assert_eq!(opened.quarantined, 1);
    let disk = filled(COMMITS);
    let mut header = foreign[..64].to_vec();
    let count = segments().len() as u64;
    header.copy_from_slice(&muster_spool::format::encode_header(&muster_spool::format::Header {
        stream: [9; 16],
        segment: count + 7,
        first_seq: 4000,
        prev_segment: 0,
        prev_end: 0,
    }));
    disk.plant(FileId::Segment(count + 7), 0, 0, &header);
    let (spool, opened) = open(&disk);
    assert_eq!((opened.quarantined, spool.next_seq()), (1, 41));
    assert!(disk.bytes(FileId::Bad(count + 7)).is_some());
    assert_eq!(spool.usage().quarantined, 1);
}

#[test]
fn a_newer_version_is_left_alone() {
    let disk = filled(2);
    let mut header = disk.bytes(FileId::Segment(1)).unwrap();
    header[8] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..64]);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.plant(FileId::Segment(1), 0, 0, &header[..64]);
    let before = disk.bytes(FileId::Segment(1));
    let as_dyn: Arc<dyn Disk> = disk.clone();
    let refused = Spool::open(as_dyn, settings(), STREAM).err().unwrap();
    assert_eq!(refused.to_string(), "segment 1 has version 2, this program reads up to 1");
    assert_eq!(disk.bytes(FileId::Segment(1)), before);
}

#[test]
fn stale_bytes_of_a_recycled_file_never_parse() {
    let disk = filled(COMMITS);
    let (mut spool, _) = open(&disk);
    for _ in 0..COMMITS {
        let durable = spool.durable_seq();
        spool.advance("up", durable).unwrap();
        let byte = spool.next_seq() as u8;
        spool.append(&[&[byte; 200]]).unwrap();
        spool.commit().unwrap();
    }
    // The newest file is an old one, with old entries behind its end.
    let line = *ls_on(&*disk).unwrap().segments.last().unwrap();
    let bytes = disk.bytes(FileId::Segment(line.segment)).unwrap();
    assert!(bytes[line.bytes as usize..].iter().any(|byte| *byte != 0));
    drop(spool);
    let (spool, opened) = open(&disk);
    assert_eq!((spool.next_seq(), opened.discarded_entries), (61, 0));
    assert!(verify_on(&*disk).unwrap().is_sound());
}

#[test]
fn an_unreadable_block_costs_the_entries_on_it() {
    let disk = Arc::new(MemDisk::new(1));
    let as_dyn: Arc<dyn Disk> = disk.clone();
    let roomy = Settings { segment_bytes: 1 << 20, ..settings() };
    let (mut spool, _) = Spool::open(as_dyn, roomy, STREAM).unwrap();
    for byte in 1..=100u8 {
        spool.append(&[&[byte; 200]]).unwrap();
    }
    spool.commit().unwrap();
    disk.faults(|faults| faults.unreadable = Some((FileId::Segment(1), 8192..8193)));
    let (seqs, gaps) = read_all(&spool.reader());
    // Block 8192..12288 holds parts of entries 36 to 53.
    assert_eq!(gaps, [(36, 53)]);
    assert_eq!(seqs.len(), 100 - 18);
}

#[test]
fn a_damaged_segment_is_kept_aside_when_it_is_released() {
    let disk = filled(COMMITS);
    let place = HEAD + ENTRY + 40;
    flip(&disk, FileId::Segment(1), place, 1);
    let (mut spool, _) = open(&disk);
    assert_eq!(read_all(&spool.reader()).1, [(2, 2)]);
    spool.advance("up", 40).unwrap();
    spool.commit().unwrap();
    assert!(disk.bytes(FileId::Bad(1)).is_some());
    assert_eq!(spool.usage().quarantined, 1);
}

#[test]
fn repair_leaves_only_the_holes() {
    for which in 0..segments().len() {
        let (id, first, _) = segments()[which];
        let disk = filled(COMMITS);
        flip(&disk, FileId::Segment(id), HEAD + 40, 1);
        flip(&disk, FileId::Segment(id), 20, 1);
        let original = disk.bytes(FileId::Segment(id));
        let repaired = repair_on(&*disk).unwrap();
        assert_eq!(repaired.rewritten, [id]);
        assert_eq!(repaired.before.damaged.len(), 2);
        assert!(repaired.after.damaged.is_empty());
        assert_eq!(repaired.after.missing, [(first, first)]);
        assert_eq!(disk.bytes(FileId::Bad(id)), original);
        let (spool, _) = open(&disk);
        assert_eq!(read_all(&spool.reader()).1, [(first, first)]);
        assert_eq!(spool.note_value(b"commit"), Some(&COMMITS.to_le_bytes()[..]));
        assert_eq!(spool.cursor("up"), Some(0));
        assert_eq!(spool.next_seq(), 41);
    }
}

#[test]
fn giant_numbers_under_right_sums_never_overflow() {
    use muster_spool::format::{Header, encode_header};
    const MOST: u64 = 1 << 62;
    for (segment, first_seq) in [(MOST, 1), (50, MOST), (MOST, MOST), (50, 0)] {
        let disk = filled(COMMITS);
        let header =
            Header { stream: STREAM, segment, first_seq, prev_segment: 1, prev_end: u64::MAX };
        disk.plant(FileId::Segment(segment), 0, 0, &encode_header(&header));
        let (mut spool, _) = open(&disk);
        verify_on(&*disk).unwrap();
        assert_eq!(spool.append(&[b"x"]).unwrap(), first_seq.max(41));
        spool.commit().unwrap();
    }
    assert_eq!(FileId::parse("ffffffffffffffff.seg"), None);
    assert_eq!(FileId::parse("0000000000000001.seg"), Some(FileId::Segment(1)));
    for name in
        ["1.seg", "000000000000000g.seg", "+000000000000001.seg", "lock", "0000000000000001"]
    {
        assert_eq!(FileId::parse(name), None, "{name}");
    }
}
