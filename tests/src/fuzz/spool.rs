//! A spool directory with any bytes in its segments: looked at, opened, repaired, written to.
//!
//! The input is a row of files: id (one byte), length u32 little-endian, bytes.

use std::ops::ControlFlow;
use std::sync::Arc;

use muster_spool::format::{
    ENTRY_HEAD_BYTES, HEADER_BYTES, HeaderFound, encode_header, parse_entry_head, parse_header,
    seal_entry_head,
};
use muster_spool::testing::MemDisk;
use muster_spool::{FileId, Settings, Spool, SpoolError, tool};

use super::{Target, fixture};

pub(super) const TARGET: Target =
    Target { mend, rounds: 8_000, ..Target::new("spool", run, seeds) };

const SETTINGS: Settings = Settings {
    segment_bytes: 4096,
    budget_bytes: 1024 * 1024,
    reserve_bytes: 4096,
    recycle_max: 2,
    stock_files: 1,
};

fn run(bytes: &[u8]) {
    let disk = Arc::new(MemDisk::new(7));
    for (id, bytes) in files(bytes) {
        disk.plant(FileId::Segment(u64::from(id)), bytes.len() as u64, 0, bytes);
    }
    let looked = tool::verify_on(&*disk);
    drop(tool::ls_on(&*disk));
    drop(tool::export_on(&*disk, 0, u64::MAX, &mut |_| ControlFlow::Continue(())));
    let opened = Spool::open(disk.clone(), SETTINGS, [9; 16]);
    let (mut spool, _) = match opened {
        Ok(opened) => opened,
        // Written by a newer program: nothing is touched.
        Err(SpoolError::Newer { .. }) => return,
        Err(error) => panic!("a spool of damaged files must open: {error}"),
    };
    assert!(looked.is_ok(), "what opens can be looked at");
    let reader = spool.reader();
    drop(reader.read(0, 1 << 20));
    drop(reader.read(spool.first_seq(), 1 << 20));
    let seq = spool.append(&[b"after", b"wards"]).expect("there is room");
    assert_eq!(seq, spool.next_seq() - 1);
    assert_eq!(spool.commit().expect("the disk works"), seq);
    drop(spool);
    disk.crash();
    let (spool, _) = Spool::open(disk, SETTINGS, [8; 16]).expect("it opened before");
    let kept = spool.reader().read(seq, 1 << 20).expect("it was committed");
    assert!(kept.iter().any(|entry| entry.seq == seq && entry.bytes == b"afterwards"));
}

/// Files of an input; each id once.
fn files(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut files: Vec<(u8, &[u8])> = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (body, after) = rest.split_at(len.min(rest.len()));
        if files.iter().all(|(id, _)| *id != head[0]) {
            files.push((head[0], body));
        }
        bytes = after;
    }
    files
}

fn image(files: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut image = Vec::new();
    for (id, bytes) in files {
        image.push(*id);
        image.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        image.extend_from_slice(bytes);
    }
    image
}

/// Makes the checksums of headers and entries good again, wherever they still stand.
fn mend(bytes: &mut Vec<u8>) {
    let mut files: Vec<_> =
        files(bytes).into_iter().map(|(id, bytes)| (id, bytes.to_vec())).collect();
    files.iter_mut().for_each(|(id, bytes)| mend_segment(*id, bytes));
    *bytes = image(&files);
}

fn mend_segment(id: u8, bytes: &mut [u8]) {
    let header_bytes = HEADER_BYTES as usize;
    if bytes.len() < header_bytes {
        return;
    }
    // With the sum made good the fields can be read; the id is the name's, or nothing is believed.
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..64]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    if let HeaderFound::Good(mut header) = parse_header(bytes) {
        header.segment = u64::from(id);
        bytes[..header_bytes].copy_from_slice(&encode_header(&header));
    }
    let head_bytes = ENTRY_HEAD_BYTES as usize;
    let mut at = header_bytes;
    while at + head_bytes <= bytes.len() {
        let Some(head) = parse_entry_head(&bytes[at..]) else {
            at += 8;
            continue;
        };
        let from = at + head_bytes;
        let end = from + head.len as usize;
        if let Some(body) = bytes.get(from..end) {
            let sealed = seal_entry_head(head, crc32c::crc32c(body));
            bytes[at..from].copy_from_slice(&sealed);
            at += head.span() as usize;
        } else {
            at += 8;
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let released = |id: u8| (id, fixture(&format!("proto/spool/fixtures/v1/{id:016x}.seg")));
    vec![image(&[released(1), released(2), released(3)]), image(&written())]
}

/// What this program writes: several segments, notes, a cursor.
fn written() -> Vec<(u8, Vec<u8>)> {
    let disk = Arc::new(MemDisk::new(3));
    let (mut spool, _) = Spool::open(disk.clone(), SETTINGS, [5; 16]).expect("an empty disk");
    spool.add_cursor("uplink", 1).expect("a new cursor");
    for round in 0..40u8 {
        spool.append(&[&[round; 300]]).expect("there is room");
        spool.note(b"mark", Some(&[round])).expect("a small note");
        spool.commit().expect("the disk works");
    }
    let files = (1..=255).filter_map(|id| Some((id, disk.bytes(FileId::Segment(u64::from(id)))?)));
    files.collect()
}
