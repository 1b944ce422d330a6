//! A block of a metric day file. The first byte says how: the block as it is, or the inside of a group
//! of one series, which is then wrapped well.

use muster_aggregator::stores::metrics::testing::{open_block, write_block};

use super::{Target, fixture, wrap};

pub(super) const TARGET: Target =
    Target { mend: |bytes| mend(bytes), rounds: 30_000, ..Target::new("metric-block", run, seeds) };

fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((mode, block)) if mode % 2 == 0 => drop(open_block(block)),
        Some((_, group)) => drop(open_block(&around(group))),
        None => {}
    }
}

/// A block of five scrapes of one series, whose group this is.
fn around(group: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(group, 1).expect("there is memory to compress in");
    let mut body = vec![5, 1, 0, 0, 0, 0, 0];
    for len in [group.len(), packed.len()] {
        let mut len = len;
        while len >= 0x80 {
            body.push(len as u8 | 0x80);
            len >>= 7;
        }
        body.push(len as u8);
    }
    body.extend_from_slice(&packed);
    let crc = crc32c::crc32c(&body).to_le_bytes();
    [b"MMB1", &crc[..], &body].concat()
}

fn mend(bytes: &mut [u8]) {
    if bytes.first().is_some_and(|mode| mode % 2 == 0) {
        wrap::mend_crc(bytes, 5, 9);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let times: Vec<i64> = (0..60).map(|n| wrap::AT.0 + n * 15_000_000).collect();
    let block = write_block(&times, 120, |series| {
        let value =
            |n: i64| ((n + series as i64) % 5 != 0).then_some(n as f64 / (series as f64 + 1.0));
        (0..60).map(value).collect()
    });
    let block = block.expect("there is memory to compress in");
    let mut seeds = vec![
        [b"\0", &block[..]].concat(),
        [b"\0", &fixture("aggregator/fixtures/v1/metric.block")[..]].concat(),
    ];
    // The forms: none, one value, decimals once and twice, with absent values, bits.
    let value = 0.25f64.to_le_bytes();
    seeds.push(vec![1, 0]);
    seeds.push([&[1, 1][..], &value].concat());
    seeds.push(vec![1, 2, 1, 3, 10, 2, 2, 1, 0]);
    seeds.push(vec![1, 0x83, 0b01010, 9, 52, 10, 2, 2]);
    seeds.push([&[1, 4][..], &[0x40; 40]].concat());
    seeds
}
