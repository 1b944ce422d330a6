//! The body of a dict frame.

use muster_proto::metric::{Dict, MetricType, Series, encode_dict, parse_dict};

use super::Target;

pub(super) const TARGET: Target =
    Target { rounds: 30_000, ..Target::new("metric-dict", run, seeds) };

fn run(bytes: &[u8]) {
    let Ok(dict) = parse_dict(bytes) else { return };
    assert_eq!(dict.series.len(), dict.base.len());
    let again = parse_dict(&encode_dict(&dict)).expect("what was read can be written");
    assert_eq!(again.series, dict.series);
    assert!(again.base.iter().zip(&dict.base).all(|(a, b)| a.to_bits() == b.to_bits()));
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    [0, 1, 3, 200].map(|series| encode_dict(&dict(series))).to_vec()
}

/// A dict with as many series.
pub(super) fn dict(series: usize) -> Dict {
    let one = |number: usize| Series {
        name: format!("node_{}_total", number / 3),
        kind: [MetricType::Counter, MetricType::Gauge, MetricType::Untyped][number % 3],
        labels: vec![("cpu".to_owned(), number.to_string()), ("mode".to_owned(), "ä".to_owned())],
    };
    let base = |number: usize| [0.0, -0.0, 0.25, 1e9, f64::NAN, -17.0, 1e300][number % 7];
    Dict { series: (0..series).map(one).collect(), base: (0..series).map(base).collect() }
}
