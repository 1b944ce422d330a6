//! Blocks come back as they were, damaged ones are errors, the fixture opens.

use super::*;

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

fn encode() -> (Vec<u8>, Vec<u8>) {
    let (tables, lines, text) = sample();
    let mut writer = BlockWriter::new(1).unwrap();
    (writer.encode_tables(&tables).unwrap(), writer.encode_lines(&lines, &text).unwrap())
}

#[track_caller]
fn check(tables_bytes: &[u8], lines_bytes: &[u8]) {
    let (tables, lines, text) = sample();
    let parsed = parse_tables(tables_bytes, &class()).unwrap();
    assert_eq!(parsed, tables);
    let raw = parse_lines(lines_bytes).unwrap();
    assert_eq!(raw.text(), text);
    assert_eq!(raw.lines(&parsed).unwrap(), lines);
}

#[test]
fn blocks_come_back_as_they_were() {
    let (tables, lines) = encode();
    check(&tables, &lines);
}

#[test]
fn a_block_of_version_1_opens_for_ever() {
    check(
        include_bytes!("../../../../fixtures/v1/log.tables"),
        include_bytes!("../../../../fixtures/v1/log.lines"),
    );
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
