//! The metric block: all series of one host over a quarter of an hour. Bytes in, bytes out.
//!
//! Room: `stores/metrics`.  May use: `proto`.  Used by: the metric store.
//!
//! ```text
//! block  := magic "MMB1" | crc32c u32 (over the rest) | varint scrapes | varint series
//!           | times: per scrape a signed varint, the difference of the differences, us since 1970
//!           | per group of 50 series: varint raw_len, varint len    (the directory)
//!           | the groups: zstd frames of these lengths, one after the other
//! group  := per series a head byte, then its column
//! head   := form | 0x80 when values are absent: then a bit per scrape first, 1 = absent
//! form 0    no value at all
//!      1    one value: its 8 bytes
//!      2    decimal: scale u8 (value = number / 10^scale), shift u8 (number = n << shift),
//!           then signed varints: the first n, then differences
//!      3    decimal as form 2, then differences of differences
//!      4    bits: each value XOR the one before, as eight planes: all lowest bytes, … all highest
//! series := (the series table, stored once per content) zstd frame of: varint count; each: kind u8
//!           (0 counter, 1 gauge, 2 untyped), name, varint labels, each name and value;
//!           text = varint length, UTF-8
//! ```
//!
//! Integers are little-endian; varints as in `varint`. A decimal form is taken only when every value
//! comes back with the bits it had; -0.0, NaN and infinities therefore go as bits. Groups are
//! compressed apart so that one series costs a fiftieth of the block.

use muster_proto::limits::{
    FRAME_RAW_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, SCRAPES_MAX, SERIES_MAX,
};
use muster_proto::metric::{MetricType, Series};

use crate::stores::varint::{Reading, put, put_bytes, put_signed};

/// Series that are compressed together.
pub(super) const GROUP_SERIES: usize = 50;
/// Scrapes in one block.
pub(super) const BLOCK_SCRAPES_MAX: usize = SCRAPES_MAX;
/// A series table before compression. Bytes. It is the greater part of a dict, which came in one frame.
const SERIES_RAW_BYTES_MAX: usize = FRAME_RAW_BYTES_MAX;
const GROUP_RAW_BYTES_MAX: usize = GROUP_SERIES * (BLOCK_SCRAPES_MAX * 11 + 16);
const MAGIC: [u8; 4] = *b"MMB1";
const LEVEL: i32 = 3;
const SCALE_MAX: usize = 9;
const ABSENT: u8 = 0x80;
/// Whole numbers below this are exact as f64.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
const POWERS: [f64; SCALE_MAX + 1] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Why bytes are not a metric block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("metric block is damaged in {0}")]
pub(super) struct BlockError(&'static str);

/// Values of one series, one a scrape; `None` = it had none.
pub(super) type Column = Vec<Option<f64>>;

/// Encodes scrapes at `times`; `column` gives the values of a series.
pub(super) fn encode(
    times: &[i64],
    series: usize,
    mut column: impl FnMut(usize) -> Column,
) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    put(&mut body, times.len() as u64);
    put(&mut body, series as u64);
    let (mut before, mut step) = (0i64, 0i64);
    for at in times {
        let now = at.wrapping_sub(before);
        put_signed(&mut body, now.wrapping_sub(step));
        (before, step) = (*at, now);
    }
    let mut zstd = zstd::bulk::Compressor::new(LEVEL)?;
    let mut groups = Vec::new();
    let mut raw = Vec::new();
    for first in (0..series).step_by(GROUP_SERIES) {
        raw.clear();
        for number in first..series.min(first + GROUP_SERIES) {
            encode_column(&mut raw, &column(number));
        }
        let group = zstd.compress(&raw)?;
        put(&mut body, raw.len() as u64);
        put(&mut body, group.len() as u64);
        groups.extend_from_slice(&group);
    }
    body.extend_from_slice(&groups);
    let mut block = MAGIC.to_vec();
    block.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    block.extend_from_slice(&body);
    Ok(block)
}

fn encode_column(out: &mut Vec<u8>, column: &Column) {
    let values: Vec<f64> = column.iter().flatten().copied().collect();
    let absent = if values.len() < column.len() && !values.is_empty() { ABSENT } else { 0 };
    let head = out.len();
    out.push(absent);
    if absent != 0 {
        let start = out.len();
        out.resize(start + column.len().div_ceil(8), 0);
        for (place, _) in column.iter().enumerate().filter(|(_, value)| value.is_none()) {
            out[start + place / 8] |= 1 << (place % 8);
        }
    }
    let Some(first) = values.first() else { return };
    out[head] |= if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        out.extend_from_slice(&first.to_bits().to_le_bytes());
        1
    } else if let Some((scale, numbers)) = as_decimals(&values) {
        encode_decimals(out, scale, &numbers)
    } else {
        let mut before = 0;
        let bits: Vec<u64> = values
            .iter()
            .map(|value| {
                let xor = value.to_bits() ^ before;
                before = value.to_bits();
                xor
            })
            .collect();
        (0..8).for_each(|plane| out.extend(bits.iter().map(|bits| (bits >> (8 * plane)) as u8)));
        4
    };
}

/// The smallest scale at which all values are whole numbers and come back bit for bit.
fn as_decimals(values: &[f64]) -> Option<(usize, Vec<i64>)> {
    let mut scale = 0;
    let mut numbers = Vec::with_capacity(values.len());
    'scales: while scale <= SCALE_MAX {
        numbers.clear();
        for value in values {
            let number = (value * POWERS[scale]).round();
            if !number.is_finite() || number.abs() >= WHOLE_MAX {
                return None;
            }
            if (number as i64 as f64 / POWERS[scale]).to_bits() != value.to_bits() {
                scale += 1;
                continue 'scales;
            }
            numbers.push(number as i64);
        }
        return Some((scale, numbers));
    }
    None
}

fn encode_decimals(out: &mut Vec<u8>, scale: usize, numbers: &[i64]) -> u8 {
    let shift = numbers.iter().fold(0, |all, number| all | number).trailing_zeros().min(52);
    let scaled: Vec<i64> = numbers.iter().map(|number| number >> shift).collect();
    out.extend_from_slice(&[scale as u8, shift as u8]);
    let columns = [false, true].map(|twice| {
        let mut column = Vec::new();
        let (mut before, mut step) = (0, 0);
        for (place, number) in scaled.iter().enumerate() {
            let now = number - before;
            put_signed(&mut column, if twice { now - step } else { now });
            // The first difference is the number itself: no rate to go on from.
            step = if place == 0 { 0 } else { now };
            before = *number;
        }
        column
    });
    let twice = columns[1].len() < columns[0].len();
    out.extend_from_slice(&columns[usize::from(twice)]);
    if twice { 3 } else { 2 }
}

/// A block whose frame is checked; groups are decoded when asked for.
pub(super) struct Block<'a> {
    pub(super) times: Vec<i64>,
    pub(super) series: usize,
    groups: Vec<(usize, &'a [u8])>,
}

impl<'a> Block<'a> {
    /// Checks a block's frame.
    ///
    /// # Errors
    /// [`BlockError`].
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Block<'a>, BlockError> {
        let (head, body) = bytes.split_at_checked(8).ok_or(BlockError("head"))?;
        if head[..4] != MAGIC {
            return Err(BlockError("magic"));
        }
        if crc32c::crc32c(body).to_le_bytes() != head[4..] {
            return Err(BlockError("checksum"));
        }
        Block::parse_body(body).ok_or(BlockError("directory"))
    }

    fn parse_body(body: &'a [u8]) -> Option<Block<'a>> {
        let mut reading = Reading::new(body);
        let scrapes = reading.next_len(BLOCK_SCRAPES_MAX)?;
        let series = reading.next_len(SERIES_MAX)?;
        let mut times = Vec::with_capacity(scrapes);
        let (mut at, mut step) = (0i64, 0i64);
        for _ in 0..scrapes {
            step = step.wrapping_add(reading.next_signed()?);
            at = at.wrapping_add(step);
            times.push(at);
        }
        let mut lengths = Vec::new();
        for _ in 0..series.div_ceil(GROUP_SERIES) {
            let raw = reading.next_len(GROUP_RAW_BYTES_MAX)?;
            lengths.push((raw, reading.next_len(body.len())?));
        }
        let groups: Option<Vec<_>> =
            lengths.into_iter().map(|(raw, len)| Some((raw, reading.take(len)?))).collect();
        let groups = groups?;
        reading.is_empty().then_some(Block { times, series, groups })
    }

    /// The columns of the series `GROUP_SERIES * group ..`.
    ///
    /// # Errors
    /// [`BlockError`].
    pub(super) fn group(&self, group: usize) -> Result<Vec<Column>, BlockError> {
        let (raw_len, packed) = self.groups.get(group).ok_or(BlockError("group number"))?;
        let raw = zstd::bulk::decompress(packed, *raw_len).map_err(|_| BlockError("group"))?;
        let count = (self.series - group * GROUP_SERIES).min(GROUP_SERIES);
        let mut reading = Reading::new(&raw);
        let columns: Option<Vec<_>> =
            (0..count).map(|_| decode_column(&mut reading, self.times.len())).collect();
        columns.filter(|_| reading.is_empty()).ok_or(BlockError("column"))
    }
}

fn decode_column(reading: &mut Reading<'_>, scrapes: usize) -> Option<Column> {
    let head = reading.byte()?;
    let absent = if head & ABSENT != 0 { Some(reading.take(scrapes.div_ceil(8))?) } else { None };
    let is_absent =
        |place: usize| absent.is_some_and(|bits| bits[place / 8] & (1 << (place % 8)) != 0);
    let present = (0..scrapes).filter(|place| !is_absent(*place)).count();
    let values = match head & !ABSENT {
        0 => return Some(vec![None; scrapes]),
        1 => vec![f64::from_bits(u64::from_le_bytes(reading.take(8)?.try_into().ok()?)); present],
        form @ (2 | 3) => decode_decimals(reading, form == 3, present)?,
        4 => {
            let planes = reading.take(present * 8)?;
            let mut before = 0;
            (0..present)
                .map(|place| {
                    let xor = (0..8).fold(0, |bits, plane| {
                        bits | u64::from(planes[plane * present + place]) << (8 * plane)
                    });
                    before ^= xor;
                    f64::from_bits(before)
                })
                .collect()
        }
        _ => return None,
    };
    let mut values = values.into_iter();
    Some((0..scrapes).map(|place| if is_absent(place) { None } else { values.next() }).collect())
}

fn decode_decimals(reading: &mut Reading<'_>, twice: bool, count: usize) -> Option<Vec<f64>> {
    let power = *POWERS.get(usize::from(reading.byte()?))?;
    let shift = u32::from(reading.byte()?);
    if shift > 52 {
        return None;
    }
    let (mut number, mut step) = (0i64, 0i64);
    let mut values = Vec::with_capacity(count);
    for place in 0..count {
        let next = reading.next_signed()?;
        let now = if twice { step.wrapping_add(next) } else { next };
        step = if place == 0 { 0 } else { now };
        number = number.wrapping_add(now);
        values.push(number.wrapping_shl(shift) as f64 / power);
    }
    Some(values)
}

/// The series table of a block.
pub(super) fn encode_series(series: &[Series]) -> std::io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    put(&mut raw, series.len() as u64);
    for one in series {
        raw.push(match one.kind {
            MetricType::Counter => 0,
            MetricType::Gauge => 1,
            MetricType::Untyped => 2,
        });
        put_bytes(&mut raw, one.name.as_bytes());
        put(&mut raw, one.labels.len() as u64);
        for (name, value) in &one.labels {
            put_bytes(&mut raw, name.as_bytes());
            put_bytes(&mut raw, value.as_bytes());
        }
    }
    let mut out = (raw.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&zstd::bulk::compress(&raw, LEVEL)?);
    Ok(out)
}

/// Reads a series table.
///
/// # Errors
/// [`BlockError`].
pub(super) fn parse_series(bytes: &[u8]) -> Result<Vec<Series>, BlockError> {
    let wrong = BlockError("series table");
    let (len, packed) = bytes.split_first_chunk::<4>().ok_or(wrong)?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > SERIES_RAW_BYTES_MAX {
        return Err(wrong);
    }
    let raw = zstd::bulk::decompress(packed, len).map_err(|_| wrong)?;
    let mut reading = Reading::new(&raw);
    let count = reading.next_len(SERIES_MAX).ok_or(wrong)?;
    let series: Option<Vec<_>> = (0..count).map(|_| parse_one_series(&mut reading)).collect();
    series.filter(|_| reading.is_empty()).ok_or(wrong)
}

fn parse_one_series(reading: &mut Reading<'_>) -> Option<Series> {
    let kind = match reading.byte()? {
        0 => MetricType::Counter,
        1 => MetricType::Gauge,
        2 => MetricType::Untyped,
        _ => return None,
    };
    let name = reading.text(NAME_BYTES_MAX)?.to_string();
    let labels = reading.next_len(LABELS_MAX)?;
    let labels: Option<Vec<_>> = (0..labels)
        .map(|_| {
            let name = reading.text(NAME_BYTES_MAX)?.to_string();
            Some((name, reading.text(NAME_BYTES_MAX)?.to_string()))
        })
        .collect();
    Some(Series { name, kind, labels: labels? })
}
