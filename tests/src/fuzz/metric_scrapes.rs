//! The body of a metric frame. The first byte chooses the dict.

use muster_proto::clock::Utc;
use muster_proto::metric::{Dict, Scrape, encode_scrapes, parse_scrapes};

use super::{Target, metric_dict};

pub(super) const TARGET: Target =
    Target { rounds: 15_000, ..Target::new("metric-scrapes", run, seeds) };

const SIZES: [usize; 4] = [0, 1, 7, 300];

fn run(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let dict = metric_dict::dict(SIZES[usize::from(*choice) % SIZES.len()]);
    let Ok(scrapes) = parse_scrapes(&dict, body) else { return };
    let again = parse_scrapes(&dict, &encode_scrapes(&dict, &scrapes));
    assert_eq!(bits(&again.expect("what was read can be written")), bits(&scrapes));
}

fn bits(scrapes: &[Scrape]) -> Vec<(Utc, Vec<Option<u64>>)> {
    let of = |scrape: &Scrape| scrape.values.iter().map(|v| v.map(f64::to_bits)).collect();
    scrapes.iter().map(|scrape| (scrape.at, of(scrape))).collect()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seed = |choice: usize| {
        let dict = metric_dict::dict(SIZES[choice]);
        [&[choice as u8][..], &encode_scrapes(&dict, &scrapes(&dict, 5))].concat()
    };
    (0..SIZES.len()).map(seed).collect()
}

/// Scrapes with values of every kind.
pub(super) fn scrapes(dict: &Dict, count: i64) -> Vec<Scrape> {
    let value = |round: i64, number: usize| match (round + number as i64) % 6 {
        0 => None,
        1 => Some(dict.base[number]),
        2 => Some(round as f64 * 4096.0),
        3 => Some(round as f64 / 100.0),
        4 => Some(f64::from_bits(0x3ff5_5555_5555_5555 + round as u64)),
        _ => Some(number as f64),
    };
    let scrape = |round: i64| Scrape {
        at: Utc(super::wrap::AT.0 + round * 15_000_000),
        values: (0..dict.series.len()).map(|number| value(round, number)).collect(),
    };
    (0..count).map(scrape).collect()
}
