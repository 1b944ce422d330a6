//! Doors to the block decoder for fuzz targets.
//!
//! Room: `stores/logs`.  Used by: tests only.

use std::sync::Arc;

use super::block::{parse_lines, parse_tables};

/// Opens the two sections of a block as a search does; the number of lines, or `None` when it is refused.
pub fn open_block(tables: &[u8], lines: &[u8]) -> Option<usize> {
    let raw = parse_lines(lines);
    let tables = parse_tables(tables, &Arc::from("system")).ok()?;
    let raw = raw.ok()?;
    let decoded = raw.lines(&tables).ok()?;
    let text = raw.text();
    for line in 0..decoded.len() {
        // A panic here is the bug that is looked for.
        let _ = (&text[decoded.span(line)], &tables.sources[decoded.source[line] as usize]);
    }
    Some(decoded.len())
}
