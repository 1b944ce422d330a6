//! The values.

use super::unit::{Column, Unit};
use super::varint::{Bytes, put, unzigzag, zigzag};
use super::{Dict, MetricError, Scrape};
use crate::clock::Utc;
use crate::limits::{FRAME_RECORDS_MAX, SCRAPES_MAX};

const SAME: u8 = 0;
const CHANGED: u8 = 1;
const ABSENT: u8 = 2;
const RAW: u8 = 3;
const CHANGED_UNIT: u8 = 4;

/// How many scrapes of `dict` one frame may hold; at least 1.
pub fn scrapes_per_frame(dict: &Dict) -> usize {
    (FRAME_RECORDS_MAX / dict.series.len().max(1)).clamp(1, SCRAPES_MAX)
}

/// The body of a metric frame: at most [`scrapes_per_frame`] scrapes, each with a value for every
/// series of the dict. A value that is missing at the end of a scrape counts as absent.
pub fn encode_scrapes(dict: &Dict, scrapes: &[Scrape]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 2 * dict.series.len());
    put(scrapes.len() as u64, &mut out);
    let mut before = 0_i64;
    for scrape in scrapes {
        put(zigzag(scrape.at.0.wrapping_sub(before)), &mut out);
        before = scrape.at.0;
    }
    let mut columns: Vec<Column> = columns_of(dict);
    let mut differences = Vec::new();
    let mut raws = Vec::new();
    for scrape in scrapes {
        let mut run = (SAME, 0_u64);
        for (number, column) in columns.iter_mut().enumerate() {
            let value = scrape.values.get(number).copied().flatten();
            let state = encode_value(column, value, &mut differences, &mut raws);
            if state != run.0 {
                put_run(run, &mut out);
                run = (state, 0);
            }
            run.1 += 1;
        }
        put_run(run, &mut out);
    }
    out.append(&mut differences);
    out.append(&mut raws);
    out
}

fn columns_of(dict: &Dict) -> Vec<Column> {
    let bases = dict.base.iter().copied().chain(std::iter::repeat(0.0));
    bases.take(dict.series.len()).map(Column::new).collect()
}

fn put_run((state, len): (u8, u64), out: &mut Vec<u8>) {
    if len > 0 {
        out.push(state);
        put(len, out);
    }
}

/// Writes one value and returns its state.
fn encode_value(
    column: &mut Column,
    value: Option<f64>,
    differences: &mut Vec<u8>,
    raws: &mut Vec<u8>,
) -> u8 {
    let Some(value) = value else { return ABSENT };
    if value.to_bits() == column.reference.to_bits() {
        return SAME;
    }
    let fitting = Unit::of(value);
    for (unit, state) in [(column.unit, CHANGED), (fitting, CHANGED_UNIT + fitting.number())] {
        if let Some(difference) = column.difference(unit, value) {
            put(zigzag(difference), differences);
            *column = Column { reference: value, unit };
            return state;
        }
    }
    raws.extend_from_slice(&value.to_le_bytes());
    *column = Column::new(value);
    RAW
}

/// Reads the body of a metric frame.
///
/// # Errors
/// [`MetricError`]; also when the body was written for another dict and that shows.
pub fn parse_scrapes(dict: &Dict, body: &[u8]) -> Result<Vec<Scrape>, MetricError> {
    let mut bytes = Bytes::new(body);
    let count = bytes.count("scrapes", scrapes_per_frame(dict))?;
    let mut scrapes = Vec::with_capacity(count);
    let mut at = 0_i64;
    for _ in 0..count {
        at = at.wrapping_add(unzigzag(bytes.varint("time")?));
        scrapes.push(Scrape { at: Utc(at), values: Vec::new() });
    }
    let mut states = Vec::with_capacity(count * dict.series.len());
    for scrape in 1..=count {
        parse_states(&mut bytes, scrape * dict.series.len(), &mut states)?;
    }
    // Raw values stand behind all differences: they are the last bytes of the body.
    let raw_count = states.iter().filter(|state| **state == RAW).count();
    let (mut bytes, mut raws) = bytes.split_tail(raw_count * 8, "raw values")?;
    let mut columns = columns_of(dict);
    let mut states = states.into_iter();
    for scrape in &mut scrapes {
        scrape.values.reserve_exact(columns.len());
        for (column, state) in columns.iter_mut().zip(&mut states) {
            scrape.values.push(parse_value(column, state, &mut bytes, &mut raws)?);
        }
    }
    bytes.end()?;
    Ok(scrapes)
}

/// Reads runs until there are `until` states.
fn parse_states(
    bytes: &mut Bytes<'_>,
    until: usize,
    states: &mut Vec<u8>,
) -> Result<(), MetricError> {
    while states.len() < until {
        let state = bytes.byte("states")?;
        if state >= CHANGED_UNIT + Unit::COUNT {
            return Err(MetricError::Unknown("state"));
        }
        let len = bytes.count("series of one state", until - states.len())?;
        if len == 0 {
            return Err(MetricError::Unknown("empty run"));
        }
        states.resize(states.len() + len, state);
    }
    Ok(())
}

fn parse_value(
    column: &mut Column,
    state: u8,
    bytes: &mut Bytes<'_>,
    raws: &mut Bytes<'_>,
) -> Result<Option<f64>, MetricError> {
    let unit = match state {
        SAME => return Ok(Some(column.reference)),
        ABSENT => return Ok(None),
        RAW => {
            *column = Column::new(raws.float("raw values")?);
            return Ok(Some(column.reference));
        }
        CHANGED => column.unit,
        other => Unit::from_number(other - CHANGED_UNIT).ok_or(MetricError::Unknown("unit"))?,
    };
    let difference = unzigzag(bytes.varint("differences")?);
    let reference = column.moved(unit, difference).ok_or(MetricError::Unknown("difference"))?;
    *column = Column { reference, unit };
    Ok(Some(reference))
}

#[cfg(test)]
mod tests {
    use super::super::{MetricType, Series, encode_dict, parse_dict};
    use super::*;
    use crate::limits::{LABELS_MAX, NAME_BYTES_MAX, SERIES_MAX};

    fn dict(base: &[f64]) -> Dict {
        let series = |number: usize| Series {
            name: format!("node_{number}_total"),
            kind: [MetricType::Counter, MetricType::Gauge, MetricType::Untyped][number % 3],
            labels: vec![("a".to_owned(), "ü".to_owned()), ("b".to_owned(), number.to_string())],
        };
        Dict { series: (0..base.len()).map(series).collect(), base: base.to_vec() }
    }

    fn bits(scrapes: &[Scrape]) -> Vec<(Utc, Vec<Option<u64>>)> {
        let of = |scrape: &Scrape| scrape.values.iter().map(|v| v.map(f64::to_bits)).collect();
        scrapes.iter().map(|scrape| (scrape.at, of(scrape))).collect()
    }

    /// Every scrape comes back bit for bit; says how long the body is.
    #[track_caller]
    fn check(base: &[f64], scrapes: &[&[Option<f64>]]) -> usize {
        let dict = dict(base);
        let scrapes: Vec<Scrape> = scrapes
            .iter()
            .zip(0..)
            .map(|(values, n)| Scrape { at: Utc(n * 15_000_000 - 7), values: values.to_vec() })
            .collect();
        let body = encode_scrapes(&dict, &scrapes);
        let read = parse_scrapes(&dict, &body).unwrap();
        assert_eq!(bits(&read), bits(&scrapes));
        let again = parse_dict(&encode_dict(&dict)).unwrap();
        assert_eq!(again.series, dict.series);
        body.len()
    }

    #[test]
    fn numbers_of_every_kind_come_back_bit_for_bit() {
        let nan = f64::from_bits(0x7ff8_0000_dead_beef);
        let odd = [
            0.0,
            -0.0,
            nan,
            -nan,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            f64::MIN,
            0.1 + 0.2,
            1.0 / 3.0,
            9_007_199_254_740_992.0,
            9_007_199_254_740_993.0,
            -9_007_199_254_740_991.0,
            1.844_674_407_370_955_2e19,
            1_795_237_999.123_456,
        ];
        for base in odd {
            let values: Vec<_> = odd.iter().map(|value| Some(*value)).collect();
            check(&vec![base; odd.len()], &[&values, &vec![None; odd.len()], &values]);
        }
    }

    #[test]
    fn what_stays_costs_nothing_and_what_moves_costs_its_digits() {
        let same = vec![Some(12.5); 700];
        let still = check(&vec![12.5; 700], &[&same]);
        assert!(still < 16, "{still} bytes");
        // 15 seconds of processor time in ticks: two bytes each.
        let moved = check(&vec![1_000.37; 700], &[&vec![Some(1_015.36); 700]]);
        assert!(moved < 16 + 2 * 700, "{moved} bytes");
        // Memory moves by pages: one byte each of count, time and difference, two of state.
        let pages = check(&[4096e6], &[&[Some(4096e6 - 4096.0 * 60.0)]]);
        assert_eq!(pages, 5);
    }

    #[test]
    fn a_column_learns_its_decimals_once_a_frame() {
        let values: Vec<Vec<Option<f64>>> =
            (1..=100).map(|n| vec![Some(f64::from(n) / 100.0)]).collect();
        let scrapes: Vec<&[Option<f64>]> = values.iter().map(Vec::as_slice).collect();
        // Per scrape: 5 bytes of time at most, 2 of state, 1 of difference.
        assert!(check(&[0.0], &scrapes) < 100 * 8 + 8);
    }

    #[test]
    fn random_walks_come_back_bit_for_bit() {
        let mut random = splitmix(7);
        for _ in 0..200 {
            let width = (random() % 40) as usize;
            let mut float = |_| match random() % 4 {
                0 => f64::from_bits(random()),
                1 => (random() % 100_000) as f64 / 100.0,
                2 => (random() % 1_000_000) as f64 * 1024.0,
                _ => (random() % 1_000) as f64,
            };
            let base: Vec<f64> = (0..width).map(&mut float).collect();
            let rows: Vec<Vec<Option<f64>>> = (0..5)
                .map(|_| {
                    (0..width).map(&mut float).map(|v| Some(v).filter(|v| *v != 3.0)).collect()
                })
                .collect();
            check(&base, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }

    #[test]
    fn bytes_from_outside_are_refused_not_obeyed() {
        let dict = dict(&[1.0, 2.5, 1e300, 0.0]);
        let scrape = Scrape { at: Utc(1), values: vec![Some(7.25), None, Some(1e-300), Some(0.0)] };
        let good = encode_scrapes(&dict, &[scrape.clone(), scrape]);
        let good_dict = encode_dict(&dict);
        let mut random = splitmix(11);
        for round in 0..200_000_u64 {
            let source = if round % 2 == 0 { &good } else { &good_dict };
            let mut bytes = source.clone();
            for _ in 0..=random() % 3 {
                let at = (random() % bytes.len() as u64) as usize;
                match random() % 3 {
                    0 => bytes[at] = random() as u8,
                    1 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, random() as u8),
                }
            }
            if round % 8 == 0 {
                bytes.iter_mut().for_each(|byte| *byte = random() as u8);
            }
            let _either_way = parse_dict(&bytes);
            if let Ok(scrapes) = parse_scrapes(&dict, &bytes) {
                assert!(scrapes.iter().all(|scrape| scrape.values.len() == 4));
                let again = encode_scrapes(&dict, &scrapes);
                assert_eq!(bits(&parse_scrapes(&dict, &again).unwrap()), bits(&scrapes));
            }
        }
        for len in 0..good.len() {
            assert!(parse_scrapes(&dict, &good[..len]).is_err());
        }
    }

    #[test]
    fn counts_are_checked_before_memory_is_taken() {
        let mut body = Vec::new();
        put(u64::MAX, &mut body);
        assert!(matches!(parse_dict(&body), Err(MetricError::Limit { what: "series", .. })));
        assert!(matches!(parse_scrapes(&dict(&[]), &body), Err(MetricError::Limit { .. })));
        let mut body = Vec::new();
        put(SERIES_MAX as u64, &mut body);
        assert_eq!(parse_dict(&body), Err(MetricError::Short("series")));
        // A frame of many scrapes of many series is refused by its first number.
        let wide = dict(&vec![0.0; 1_000]);
        let mut body = Vec::new();
        put(scrapes_per_frame(&wide) as u64 + 1, &mut body);
        assert!(matches!(parse_scrapes(&wide, &body), Err(MetricError::Limit { .. })));
    }

    #[test]
    fn labels_are_few_short_sorted_and_distinct() {
        let refused = |labels: Vec<(String, String)>| {
            let mut dict = dict(&[0.0]);
            dict.series[0].labels = labels;
            parse_dict(&encode_dict(&dict)).unwrap_err()
        };
        let label = |name: &str| (name.to_owned(), String::new());
        assert!(matches!(refused(vec![label("b"), label("a")]), MetricError::Unsorted(_)));
        assert!(matches!(refused(vec![label("a"), label("a")]), MetricError::Unsorted(_)));
        let many = (0..=LABELS_MAX).map(|n| label(&format!("{n:03}"))).collect();
        assert!(matches!(refused(many), MetricError::Limit { what: "labels", .. }));
        let long = vec![label(&"x".repeat(NAME_BYTES_MAX + 1))];
        assert!(matches!(refused(long), MetricError::Limit { .. }));
    }

    /// 700 series as a busy host has them: two in five move, for half an hour at 15 s, one scrape a
    /// frame, header and all.
    #[test]
    fn a_busy_host_costs_less_than_two_bytes_a_sample() {
        let mut random = splitmix(5);
        let mut values: Vec<f64> = (0..700).map(|_| (random() % 10_000_000) as f64).collect();
        let dict = dict(&values);
        let mut sealer = crate::frame::Sealer::new().unwrap();
        let facts = crate::frame::BodyFacts {
            kind: crate::frame::Kind::Metric,
            dict: 1,
            records: 700,
            first_at: Utc(0),
            last_at: Utc(0),
        };
        let mut bytes = 0;
        for number in 1..=120 {
            for (at, value) in values.iter_mut().take(280).enumerate() {
                *value = match at % 4 {
                    // Processor ticks, counters of events, bytes of traffic, memory.
                    0 => ((*value * 100.0).round() + (random() % 1_500) as f64) / 100.0,
                    1 => *value + (random() % 20_000) as f64,
                    2 => *value + (random() % 1_000_000) as f64,
                    _ => (random() % 4_000_000) as f64 * 4096.0,
                };
            }
            let scrape = Scrape {
                at: Utc(number * 15_000_000),
                values: values.iter().map(|value| Some(*value)).collect(),
            };
            let body = encode_scrapes(&dict, std::slice::from_ref(&scrape));
            assert_eq!(bits(&parse_scrapes(&dict, &body).unwrap()), bits(&[scrape]));
            let sealed = sealer.seal(facts, &body).unwrap();
            bytes += sealed.body.len() + crate::frame::Header::BYTES;
        }
        let per_sample = bytes as f64 / (120.0 * 700.0);
        println!("{per_sample:.3} bytes a sample");
        assert!(per_sample <= 2.0, "{per_sample}");
    }

    /// splitmix64: numbers that are the same in every run.
    fn splitmix(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }
    }
}
