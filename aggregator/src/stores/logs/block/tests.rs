//! Blocks come back as they were, damaged ones are errors, the fixture opens.

use super::*;
use crate::stores::logs::bloom::for_tokens;

fn class() -> Arc<str> {
    Arc::from("web")
}

/// Four lines of two sources and two streams.
fn sample() -> (Tables, Lines, Vec<u8>) {
    let source = |kind, name: &str, program: &str| {
        Arc::new(LineSource {
            host: Arc::from("db1150"),
            datacenter: Arc::from("eqiad"),
            class: class(),
            kind,
            name: Arc::from(name),
            program: Arc::from(program),
        })
    };
    let sources = vec![
        source(SourceKind::File, "/var/log/syslog", ""),
        source(SourceKind::Journald, "ssh.service", "sshd"),
    ];
    let streams = vec![StreamId([1; 16]), StreamId([2; 16])];
    let lines = Lines {
        at: vec![1_795_262_400_000_000, 1_795_262_400_000_001, -5, 7],
        source: vec![0, 0, 1, 1],
        severity: vec![6, 6, 0, 7],
        flags: vec![0, 4, 1, 0x80],
        index: vec![0, 1, 4_000_000_000, 2],
        ends: vec![3, 4, 9, 14],
        frames: Frames::Each {
            streams: streams.clone(),
            stream: vec![0, 0, 1, 1],
            seq: vec![5, 5, u64::MAX, 1],
        },
    };
    (Tables { sources, streams }, lines, b"abc\n\na\nb\xff\nline\n".to_vec())
}

/// Lines of three shapes and none, with a column of every kind: what block version 2 holds.
fn sample_v2() -> (Lines, Vec<u8>) {
    let mut text = Vec::new();
    let mut lines = Lines::default();
    let (mut stream, mut seq) = (Vec::new(), Vec::new());
    for n in 0..12u32 {
        let line = match n % 3 {
            0 => format!("14:00:{n:02}.250 GET /{n}_Main_{} took {} ms", n * 7, n * 977),
            1 => format!(
                "user deploy{} trace {:032x} id {:x}",
                n / 2,
                u128::MAX / 7 * 5 - u128::from(n),
                n * 4321
            ),
            _ => format!("[{}.{n:06}] eth0: link is up, 1000 Mbit", n / 3),
        };
        text.extend_from_slice(line.as_bytes());
        lines.ends.push(text.len() as u32);
        text.push(b'\n');
        lines.at.push(1_795_262_400_000_000 + i64::from(n));
        lines.source.push(n % 2);
        lines.severity.push(6);
        lines.flags.push(0);
        lines.index.push(n);
        stream.push(n % 2);
        seq.push(u64::from(n / 4));
    }
    lines.ends.push(text.len() as u32 + 8);
    text.extend_from_slice(b"a\nb\xff 7up\n");
    let last = (lines.at[11], lines.source[11], lines.index[11] + 1);
    lines.at.push(last.0);
    lines.source.push(last.1);
    lines.severity.push(3);
    lines.flags.push(4);
    lines.index.push(last.2);
    stream.push(0);
    seq.push(9);
    let (tables, ..) = sample();
    lines.frames = Frames::Each { streams: tables.streams, stream, seq };
    (lines, text)
}

fn encode() -> (Vec<u8>, Vec<u8>) {
    let (tables, lines, text) = sample();
    let mut writer = BlockWriter::new(1).unwrap();
    (writer.encode_tables(&tables).unwrap(), writer.encode_lines(&lines, &text, |_| {}).unwrap())
}

#[track_caller]
fn check(tables_bytes: &[u8], lines_bytes: &[u8], (lines, text): (Lines, Vec<u8>)) {
    let (tables, ..) = sample();
    let parsed = parse_tables(tables_bytes, &class()).unwrap();
    assert_eq!(parsed, tables);
    let raw = parse_lines(lines_bytes).unwrap();
    assert_eq!(raw.text(), text);
    assert_eq!(raw.lines(&parsed).unwrap(), lines);
}

fn plain_sample() -> (Lines, Vec<u8>) {
    let (_, lines, text) = sample();
    (lines, text)
}

#[test]
fn blocks_come_back_as_they_were() {
    let (tables, lines) = encode();
    check(&tables, &lines, plain_sample());
    let (lines, text) = sample_v2();
    let mut writer = BlockWriter::new(1).unwrap();
    let bytes = writer.encode_lines(&lines, &text, |_| {}).unwrap();
    check(&tables, &bytes, (lines, text));
}

#[test]
fn a_block_of_version_1_opens_for_ever() {
    check(
        include_bytes!("../../../../fixtures/v1/log.tables"),
        include_bytes!("../../../../fixtures/v1/log.lines"),
        plain_sample(),
    );
}

/// `MUSTER_BLESS=1` writes the fixture, if there is none.
#[test]
fn a_block_of_version_2_opens_for_ever() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v2/log.lines");
    let is_missing = !std::path::Path::new(path).exists();
    if is_missing && std::env::var_os("MUSTER_BLESS").is_some_and(|word| word == "1") {
        let (lines, text) = sample_v2();
        let bytes = BlockWriter::new(1).unwrap().encode_lines(&lines, &text, |_| {}).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let lines = std::fs::read(path).expect("the fixture is there");
    check(include_bytes!("../../../../fixtures/v1/log.tables"), &lines, sample_v2());
}

#[test]
fn every_token_is_given_out() {
    let (lines, text) = sample_v2();
    let mut given = std::collections::HashSet::new();
    let mut writer = BlockWriter::new(1).unwrap();
    writer
        .encode_lines(&lines, &text, |token| {
            let _ = given.insert(token.to_vec());
        })
        .unwrap();
    let mut all = std::collections::HashSet::new();
    for_tokens(&text, |token| {
        let _ = all.insert(text[token.start..token.end].to_vec());
    });
    assert_eq!(given, all);
}

#[test]
fn damaged_blocks_are_errors_and_nothing_else() {
    let (tables, lines) = encode();
    let parsed = parse_tables(&tables, &class()).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    for whole in [&tables, &lines] {
        for _ in 0..3_000 {
            let mut bytes = whole.clone();
            let at = rng.usize(..bytes.len());
            bytes[at] ^= 1 << rng.u8(..8);
            let open = |bytes: &[u8]| {
                let lines = parse_lines(bytes).and_then(|raw| raw.lines(&parsed)).map(|_| ());
                lines.or(parse_tables(bytes, &class()).map(|_| ()))
            };
            assert!(open(&bytes).is_err(), "byte {at}");
            // With the checksum made good again it may be anything, but it must not panic.
            let crc = crc32c::crc32c(&bytes[SECTION_HEAD..]).to_le_bytes();
            bytes[8..12].copy_from_slice(&crc);
            let _ = open(&bytes);
            bytes.truncate(rng.usize(..bytes.len()));
            assert!(open(&bytes).is_err());
        }
    }
}

#[test]
fn places_outside_their_tables_are_refused() {
    let (_, lines) = encode();
    let raw = parse_lines(&lines).unwrap();
    let (mut tables, ..) = sample();
    tables.sources.truncate(1);
    assert_eq!(raw.lines(&tables), Err(BlockError::Column("source")));
    let (mut tables, ..) = sample();
    tables.streams.truncate(1);
    assert_eq!(raw.lines(&tables), Err(BlockError::Column("stream")));
}
