//! The block and the reader against each other, and the reader against everything else.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;
use crate::clock::Utc;
use crate::frame::{self, Sealed, Sealer};
use crate::ids::{Seq, StreamId};
use crate::lane::Lane;
use crate::limits::{FRAME_RECORDS_MAX, LOG_LINE_BYTES_MAX, LOG_READ_BYTES};

fn file(name: &str) -> LogSource {
    LogSource {
        kind: SourceKind::File,
        name: name.to_owned(),
        program: String::new(),
        class: "system".to_owned(),
    }
}

fn unit(name: &str, program: &str) -> LogSource {
    LogSource {
        kind: SourceKind::Journald,
        name: name.to_owned(),
        program: program.to_owned(),
        class: "auth".to_owned(),
    }
}

/// Puts bytes where a reader would.
fn read(block: &mut LogBlock, bytes: &[u8]) {
    block.room(bytes.len()).copy_from_slice(bytes);
    block.filled(bytes.len());
}

fn seal(block: &mut LogBlock) -> Sealed {
    block.seal(&mut Sealer::new().unwrap()).unwrap().unwrap()
}

fn raw_of(sealed: &Sealed) -> Vec<u8> {
    let mut raw = Vec::new();
    let header = sealed.header(Lane::Logs, StreamId([1; 16]), Seq(1));
    frame::inflate(&header, &sealed.body, &mut raw).unwrap();
    raw
}

/// One line per line: index source time severity flags text.
fn show(first_at: Utc, raw: &[u8]) -> String {
    let mut out = String::new();
    match parse_log(first_at, raw) {
        Err(error) => writeln!(out, "{error}").unwrap(),
        Ok(log) => {
            for line in log.lines() {
                let source = &log.sources[line.source];
                let text = line.text.escape_ascii().to_string();
                let text =
                    if text.len() > 60 { format!("{} bytes", line.text.len()) } else { text };
                writeln!(
                    out,
                    "{} {:?} {} {} {} {} {} | {text}",
                    line.index,
                    source.kind,
                    source.name,
                    source.program,
                    line.at.0,
                    line.severity,
                    line.flags,
                )
                .unwrap();
            }
        }
    }
    out
}

#[track_caller]
fn check(fill: impl FnOnce(&mut LogBlock), expected: Expect) {
    let mut block = LogBlock::new();
    fill(&mut block);
    let sealed = seal(&mut block);
    assert!(block.is_empty() && block.tail().is_empty());
    let raw = raw_of(&sealed);
    let log = parse_log(sealed.facts.first_at, &raw).unwrap();
    assert_eq!(log.len(), sealed.facts.records as usize);
    assert_eq!(log.lines().count(), log.len());
    let times = || log.lines().map(|line| line.at);
    assert_eq!(times().min(), Some(sealed.facts.first_at));
    assert_eq!(times().max(), Some(sealed.facts.last_at));
    expected.assert_eq(&show(sealed.facts.first_at, &raw));
}

#[test]
fn files_and_units_share_a_frame() {
    check(
        |block| {
            let syslog = block.source(&file("/var/log/syslog"));
            read(block, b"one\ntwo\n\nfo");
            let found = block.index_lines(syslog, Utc(1_000), FLAG_READ_TIME);
            assert_eq!(found, Indexed { lines: 3, tail_bytes: 2, ..Indexed::default() });
            read(block, b"ur\r\n\xff\xfe\n");
            assert_eq!(block.index_lines(syslog, Utc(1_000), FLAG_READ_TIME).lines, 2);
            let sshd = block.source(&unit("ssh.service", "sshd"));
            block.push(sshd, Utc(900), (Severity::Warning, 0), b"two\nlines\n");
            block.push(sshd, Utc(1_100), (Severity::Err, 0), b"");
            assert_eq!(block.source(&file("/var/log/syslog")), syslog);
            read(block, b"the end");
            block.index_lines(syslog, Utc(1_100), FLAG_READ_TIME);
            assert!(block.index_tail(syslog, Utc(1_100), FLAG_READ_TIME | FLAG_PARTIAL));
        },
        expect![[r#"
            0 File /var/log/syslog  1000 info 4 | one
            1 File /var/log/syslog  1000 info 4 | two
            2 File /var/log/syslog  1000 info 4 | 
            3 File /var/log/syslog  1000 info 4 | four\r
            4 File /var/log/syslog  1000 info 4 | \xff\xfe
            5 Journald ssh.service sshd 900 warning 0 | two\nlines\n
            6 Journald ssh.service sshd 1100 err 0 | 
            7 File /var/log/syslog  1100 info 6 | the end
        "#]],
    );
}

#[test]
fn long_lines_are_cut_and_their_neighbours_are_not() {
    check(
        |block| {
            let source = block.source(&file("a"));
            let exact = [b'x'; LOG_LINE_BYTES_MAX];
            let over = [b'y'; LOG_LINE_BYTES_MAX + 1];
            read(block, b"before\n");
            read(block, &exact);
            read(block, b"\n");
            read(block, &over);
            read(block, b"\nafter\npart");
            let found = block.index_lines(source, Utc(1), 0);
            assert_eq!(found, Indexed { lines: 4, cut: 1, nul_bytes: 0, tail_bytes: 4 });
            block.drop_tail();
            read(block, &over);
            assert!(block.index_tail(source, Utc(2), 0));
            block.push(source, Utc(2), (Severity::Info, 0), &over);
        },
        expect![[r#"
            0 File a  1 info 0 | before
            1 File a  1 info 0 | 524288 bytes
            2 File a  1 info 1 | 524288 bytes
            3 File a  1 info 0 | after
            4 File a  2 info 1 | 524288 bytes
            5 File a  2 info 1 | 524288 bytes
        "#]],
    );
}

#[test]
fn holes_before_lines_are_taken_out_and_nuls_inside_stay() {
    check(
        |block| {
            let source = block.source(&file("a"));
            read(block, b"in\0side\n\0\0\0one\ntwo\n\0\0\n\0\0tail");
            let found = block.index_lines(source, Utc(1), 0);
            assert_eq!(found, Indexed { lines: 4, cut: 0, nul_bytes: 7, tail_bytes: 4 });
            let mut tail = Vec::new();
            block.take_tail(&mut tail);
            assert_eq!(tail, b"tail");
            read(block, &[0; 5000]);
            let found = block.index_lines(source, Utc(1), 0);
            assert_eq!(found, Indexed { nul_bytes: 5000, ..Indexed::default() });
        },
        expect![[r#"
            0 File a  1 info 0 | in\x00side
            1 File a  1 info 0 | one
            2 File a  1 info 0 | two
            3 File a  1 info 0 | 
        "#]],
    );
}

#[test]
fn the_rest_of_a_cut_line_can_be_dropped_from_the_front() {
    check(
        |block| {
            let source = block.source(&file("a"));
            read(block, b"rest of it\nnext\n");
            block.drop_tail_front(11);
            assert_eq!(block.tail(), b"next\n");
            block.index_lines(source, Utc(1), 0);
        },
        expect![[r#"
            0 File a  1 info 0 | next
        "#]],
    );
}

#[test]
fn an_empty_block_gives_no_frame_and_a_sealed_one_can_be_filled_again() {
    let mut sealer = Sealer::new().unwrap();
    let mut block = LogBlock::new();
    assert!(block.seal(&mut sealer).unwrap().is_none());
    read(&mut block, b"only a tail");
    assert!(block.seal(&mut sealer).unwrap().is_none());
    for round in 0..3 {
        let source = block.source(&file("a"));
        assert_eq!(source, 0);
        read(&mut block, b"x\n");
        block.index_lines(source, Utc(round), 0);
        let sealed = block.seal(&mut sealer).unwrap().unwrap();
        assert_eq!(show(Utc(round), &raw_of(&sealed)), format!("0 File a  {round} info 0 | x\n"));
    }
}

#[test]
fn a_full_block_that_takes_one_more_read_still_seals_whatever_the_bytes_are() {
    let mut rng = fastrand::Rng::with_seed(3);
    for case in 0..4 {
        let mut block = LogBlock::new();
        let source = block.source(&file("a"));
        while !block.is_full() {
            let line: Vec<u8> = match case {
                0 => b"\n".to_vec(),
                1 => (0..3).map(|_| rng.u8(11..)).chain([b'\n']).collect(),
                _ => (0..LOG_READ_BYTES / 2 - 7).map(|_| rng.u8(11..)).chain([b'\n']).collect(),
            };
            read(&mut block, &line);
            block.index_lines(source, Utc(i64::from(block.lines())), 0);
        }
        if case == 3 {
            let long: Vec<u8> = (0..LOG_LINE_BYTES_MAX).map(|_| rng.u8(11..)).collect();
            read(&mut block, &long);
            read(&mut block, b"\n");
        }
        read(&mut block, &[b'\n'; LOG_READ_BYTES]);
        block.index_lines(source, Utc(-5), 0);
        assert!(block.lines() as usize <= FRAME_RECORDS_MAX);
        let sealed = seal(&mut block);
        let raw = raw_of(&sealed);
        assert_eq!(
            parse_log(sealed.facts.first_at, &raw).unwrap().len(),
            sealed.facts.records as usize
        );
    }
}

#[test]
fn random_blocks_come_back_line_by_line() {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut sealer = Sealer::new().unwrap();
    let mut block = LogBlock::new();
    for _ in 0..300 {
        let mut expected = Vec::new();
        for _ in 0..rng.usize(1..40) {
            let number = rng.usize(0..6);
            let source = block.source(&file(&format!("f{number}")));
            let (at, flags) = (Utc(rng.i64(-5..5) * 1_000_000), rng.u8(0..4) << 2);
            if rng.bool() {
                let text: Vec<u8> = (0..rng.usize(0..300)).map(|_| rng.u8(..)).collect();
                let severity = Severity::ALL[rng.usize(0..8)];
                block.push(source, at, (severity, flags), &text);
                expected.push((format!("f{number}"), at, severity, flags, text));
            } else {
                for _ in 0..rng.usize(1..9) {
                    let text: Vec<u8> = (0..rng.usize(0..300)).map(|_| rng.u8(11..)).collect();
                    read(&mut block, &text);
                    read(&mut block, b"\n");
                    expected.push((format!("f{number}"), at, Severity::Info, flags, text));
                }
                block.index_lines(source, at, flags);
            }
        }
        let sealed = block.seal(&mut sealer).unwrap().unwrap();
        let raw = raw_of(&sealed);
        let log = parse_log(sealed.facts.first_at, &raw).unwrap();
        let got: Vec<_> = log
            .lines()
            .map(|line| {
                let name = log.sources[line.source].name.clone();
                (name, line.at, line.severity, line.flags, line.text.to_vec())
            })
            .collect();
        assert_eq!(got, expected);
    }
}

fn sample() -> Sealed {
    let mut block = LogBlock::new();
    let web = block.source(&file("/var/log/nginx/access.log"));
    read(&mut block, b"GET / 200\nGET /x 404\nPOST /y \xf0\x28 500\n");
    block.index_lines(web, Utc(1_790_000_000_000_000), FLAG_READ_TIME);
    let sshd = block.source(&unit("ssh.service", "sshd"));
    block.push(
        sshd,
        Utc(1_789_999_999_500_000),
        (Severity::Notice, 0),
        b"Accepted publickey\nfor root",
    );
    block.push(sshd, Utc(1_790_000_000_500_000), (Severity::Crit, FLAG_CUT), b"fatal");
    read(&mut block, b"no newline");
    block.index_tail(web, Utc(1_790_000_001_000_000), FLAG_READ_TIME | FLAG_PARTIAL);
    seal(&mut block)
}

#[test]
fn mutated_and_random_bodies_are_refused_or_read_but_never_panic() {
    let sealed = sample();
    let raw = raw_of(&sealed);
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut refused, mut taken) = (0, 0);
    for round in 0..60_000 {
        let mut bytes = raw.clone();
        match round % 4 {
            0 => bytes.truncate(rng.usize(0..raw.len())),
            1 => bytes = (0..rng.usize(0..200)).map(|_| rng.u8(..)).collect(),
            _ => {
                for _ in 0..rng.usize(1..4) {
                    let at = rng.usize(0..bytes.len());
                    bytes[at] =
                        if rng.bool() { rng.u8(..) } else { bytes[at] ^ (1 << rng.u32(0..8)) };
                }
            }
        }
        match parse_log(Utc(rng.i64(..)), &bytes) {
            Err(_) => refused += 1,
            Ok(log) => {
                taken += 1;
                assert_eq!(log.lines().count(), log.len());
                assert!(log.lines().all(|line| line.source < log.sources.len()));
            }
        }
    }
    assert!(refused > 10_000 && taken > 1_000, "refused {refused}, taken {taken}");
}

#[test]
fn too_many_sources_are_refused_before_they_are_built() {
    // {"sources": [[0, "", "", ""] * 5000 …
    let mut bytes = vec![0xa1, 0x67];
    bytes.extend_from_slice(b"sources");
    bytes.extend_from_slice(&[0x9a, 0, 0, 0x13, 0x88]);
    for _ in 0..5_000 {
        bytes.extend_from_slice(&[0x84, 0x64]);
        bytes.extend_from_slice(b"file");
        bytes.extend_from_slice(&[0x60, 0x60, 0x60]);
    }
    let error = parse_log(Utc(0), &bytes).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("4096 sources"), "{cause}");
}

#[test]
fn the_first_version_opens_for_ever() {
    let bytes = include_bytes!("../../fixtures/v1/log.frame");
    let (header, body) = frame::open(bytes).unwrap();
    let mut raw = Vec::new();
    frame::inflate(&header, body, &mut raw).unwrap();
    assert_eq!(header.records, 6);
    expect![[r#"
        0 File /var/log/nginx/access.log  1790000000000000 info 4 | GET / 200
        1 File /var/log/nginx/access.log  1790000000000000 info 4 | GET /x 404
        2 File /var/log/nginx/access.log  1790000000000000 info 4 | POST /y \xf0( 500
        3 Journald ssh.service sshd 1789999999500000 notice 0 | Accepted publickey\nfor root
        4 Journald ssh.service sshd 1790000000500000 crit 1 | fatal
        5 File /var/log/nginx/access.log  1790000001000000 info 6 | no newline
    "#]]
    .assert_eq(&show(header.first_at, &raw));
}
