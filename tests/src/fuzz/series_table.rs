//! The series table of a metric day file. The first byte says how: as it is, or its inside, which is
//! then wrapped well.

use muster_aggregator::stores::metrics::testing::{read_series, write_series};

use super::{Target, metric_dict};

pub(super) const TARGET: Target =
    Target { rounds: 10_000, ..Target::new("series-table", run, seeds) };

fn run(bytes: &[u8]) {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    let table = if mode % 2 == 0 { bytes.to_vec() } else { around(bytes) };
    if let Some(series) = read_series(&table) {
        let again = write_series(&series).expect("there is memory to compress in");
        assert_eq!(read_series(&again), Some(series));
    }
}

fn around(raw: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(raw, 1).expect("there is memory to compress in");
    [&(raw.len() as u32).to_le_bytes()[..], &packed].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let table = write_series(&metric_dict::dict(60).series).expect("there is memory");
    let raw = zstd::bulk::decompress(&table[4..], 1 << 20).expect("it inflates");
    vec![[b"\0", &table[..]].concat(), [b"\x01", &raw[..]].concat()]
}
