//! The table of series.

use super::varint::{Bytes, put};
use super::{Dict, MetricError, MetricType, Series};
use crate::limits::{LABELS_MAX, NAME_BYTES_MAX, SERIES_MAX};

/// Fewest bytes of a series: kind, an empty name, no labels, its base.
const SERIES_BYTES_MIN: usize = 1 + 1 + 1 + 8;

/// The body of a dict frame. What is over a limit is the caller's to leave out: the reader refuses it.
pub fn encode_dict(dict: &Dict) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 * dict.series.len());
    put(dict.series.len() as u64, &mut out);
    for series in &dict.series {
        out.push(match series.kind {
            MetricType::Counter => 0,
            MetricType::Gauge => 1,
            MetricType::Untyped => 2,
        });
        put_text(&series.name, &mut out);
        put(series.labels.len() as u64, &mut out);
        for (name, value) in &series.labels {
            put_text(name, &mut out);
            put_text(value, &mut out);
        }
    }
    for number in 0..dict.series.len() {
        let base = dict.base.get(number).copied().unwrap_or(0.0);
        out.extend_from_slice(&base.to_le_bytes());
    }
    out
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Reads the body of a dict frame.
///
/// # Errors
/// [`MetricError`]; every count is checked against its limit before memory is taken for it.
pub fn parse_dict(body: &[u8]) -> Result<Dict, MetricError> {
    let mut bytes = Bytes::new(body);
    let count = bytes.count("series", SERIES_MAX)?;
    if bytes.left() < count.saturating_mul(SERIES_BYTES_MIN) {
        return Err(MetricError::Short("series"));
    }
    let mut series = Vec::with_capacity(count);
    for _ in 0..count {
        series.push(parse_series(&mut bytes)?);
    }
    let mut base = Vec::with_capacity(count);
    for _ in 0..count {
        base.push(bytes.float("base values")?);
    }
    bytes.end()?;
    Ok(Dict { series, base })
}

fn parse_series(bytes: &mut Bytes<'_>) -> Result<Series, MetricError> {
    let kind = match bytes.byte("metric type")? {
        0 => MetricType::Counter,
        1 => MetricType::Gauge,
        2 => MetricType::Untyped,
        _ => return Err(MetricError::Unknown("metric type")),
    };
    let name = parse_text(bytes)?;
    let count = bytes.count("labels", LABELS_MAX)?;
    let mut labels: Vec<(String, String)> = Vec::with_capacity(count);
    for _ in 0..count {
        labels.push((parse_text(bytes)?, parse_text(bytes)?));
    }
    if !labels.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(MetricError::Unsorted(name));
    }
    Ok(Series { name, kind, labels })
}

fn parse_text(bytes: &mut Bytes<'_>) -> Result<String, MetricError> {
    let len = bytes.count("bytes of a name", NAME_BYTES_MAX)?;
    let text = std::str::from_utf8(bytes.take(len, "name")?).map_err(|_| MetricError::NotUtf8)?;
    Ok(text.to_owned())
}
