//! Doors to the block decoder for fuzz targets.
//!
//! Room: `stores/metrics`.  Used by: tests only.

use muster_proto::metric::Series;

use super::block::{Block, GROUP_SERIES, encode, encode_series, parse_series};

/// Opens a block and every group in it; the number of samples, or `None` when it is refused.
pub fn open_block(bytes: &[u8]) -> Option<usize> {
    let block = Block::parse(bytes).ok()?;
    let mut samples = 0;
    for group in 0..block.series.div_ceil(GROUP_SERIES) {
        for column in block.group(group).ok()? {
            assert_eq!(column.len(), block.times.len());
            samples += column.iter().flatten().count();
        }
    }
    Some(samples)
}

/// A block, as a seal writes it.
///
/// # Errors
/// zstd has no memory.
pub fn write_block(
    times: &[i64],
    series: usize,
    column: impl FnMut(usize) -> Vec<Option<f64>>,
) -> std::io::Result<Vec<u8>> {
    encode(times, series, column)
}

/// A series table, as a seal writes it.
///
/// # Errors
/// zstd has no memory.
pub fn write_series(series: &[Series]) -> std::io::Result<Vec<u8>> {
    encode_series(series)
}

/// Reads a series table.
pub fn read_series(bytes: &[u8]) -> Option<Vec<Series>> {
    parse_series(bytes).ok()
}
