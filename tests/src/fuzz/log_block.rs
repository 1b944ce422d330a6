//! A block of a log day file: two sections. The first byte says how: sections as they are, or their
//! insides, which are then wrapped well.

use muster_aggregator::stores::logs::testing::open_block;

use super::{Target, fixture, wrap};

pub(super) const TARGET: Target = Target {
    mend,
    rounds: 10_000,
    // Text, columns and decoded lines of 8 MiB sections.
    memory_bytes_max: 128 * 1024 * 1024,
    ..Target::new("log-block", run, seeds)
};

/// Ends the first section.
const BETWEEN: &[u8] = b"\n--\n";

fn run(bytes: &[u8]) {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    let (tables, lines) = split(bytes);
    let version = match mode % 3 {
        0 => None,
        1 => Some(b"MLB1"),
        _ => Some(b"MLB2"),
    };
    match version {
        None => open_block(tables, lines),
        Some(version) => {
            open_block(&wrap::section(b"MLT1", tables), &wrap::section(version, lines))
        }
    };
}

fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN);
    let at = at.unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + BETWEEN.len()..).unwrap_or_default())
}

fn mend(bytes: &mut Vec<u8>) {
    if bytes.first().is_none_or(|mode| mode % 3 != 0) {
        return;
    }
    let (tables, lines) = split(&bytes[1..]);
    let mut sections = [tables.to_vec(), lines.to_vec()];
    sections.iter_mut().for_each(|section| wrap::mend_crc(section, 8, 12));
    let mended = [&bytes[..1], &sections[0], BETWEEN, &sections[1]].concat();
    *bytes = mended;
}

fn seeds() -> Vec<Vec<u8>> {
    let tables = fixture("aggregator/fixtures/v1/log.tables");
    let first = fixture("aggregator/fixtures/v1/log.lines");
    let lines = fixture("aggregator/fixtures/v2/log.lines");
    let inside = |section: &[u8]| {
        zstd::bulk::decompress(&section[12..], 1 << 20).expect("the fixture inflates")
    };
    vec![
        [b"\0", &tables[..], BETWEEN, &first].concat(),
        [b"\0", &tables[..], BETWEEN, &lines].concat(),
        [b"\x01", &inside(&tables)[..], BETWEEN, &inside(&first)].concat(),
        [b"\x02", &inside(&tables)[..], BETWEEN, &inside(&lines)].concat(),
    ]
}
