//! The head of the metric store: what is not sealed yet, and the latest values of each host.
//!
//! Room: `stores/metrics`.  May use: `proto`.  Used by: `metrics`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::metric::{Dict, Scrape, Series};

use super::block::BLOCK_SCRAPES_MAX;
use crate::stores::HostTag;

/// A host that has been silent this long has no latest values any more.
const LATEST_AGE: Duration = Duration::from_secs(3_600);

/// One scrape, eight bytes a value.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) at: i64,
    bits: Box<[u64]>,
    /// A bit per value, 1 = absent; empty when none is.
    absent: Box<[u64]>,
}

impl Row {
    pub(super) fn new(scrape: &Scrape) -> Row {
        let bits = scrape.values.iter().map(|value| value.unwrap_or(0.0).to_bits()).collect();
        let mut absent = Vec::new();
        for place in (0..scrape.values.len()).filter(|place| scrape.values[*place].is_none()) {
            absent.resize(scrape.values.len().div_ceil(64), 0u64);
            absent[place / 64] |= 1 << (place % 64);
        }
        Row { at: scrape.at.0, bits, absent: absent.into() }
    }

    pub(super) fn value(&self, series: usize) -> Option<f64> {
        let is_absent =
            self.absent.get(series / 64).is_some_and(|word| word & (1 << (series % 64)) != 0);
        self.bits.get(series).filter(|_| !is_absent).map(|bits| f64::from_bits(*bits))
    }

    pub(super) fn cost_bytes(&self) -> u64 {
        8 * (self.bits.len() + self.absent.len()) as u64 + 48
    }
}

/// Scrapes of one dict, as they came.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) dict: Arc<Dict>,
    pub(super) rows: Vec<Arc<Row>>,
}

/// What the head knows of one host.
#[derive(Debug, Clone)]
pub(super) struct HostHead {
    pub(super) tag: HostTag,
    pub(super) chunks: Vec<Chunk>,
    pub(super) latest: Option<(Arc<Dict>, Arc<Row>)>,
}

/// All hosts. Behind one short lock; a search takes a copy of the table.
#[derive(Default)]
pub(super) struct Head {
    pub(super) hosts: HashMap<String, Arc<HostHead>>,
    pub(super) bytes: u64,
    /// Last spool seq that is sealed.
    pub(super) upto: u64,
    /// First and last spool seq in the head.
    pub(super) range: Option<(u64, u64)>,
    /// When the oldest scrape here was taken.
    pub(super) since: Option<Utc>,
}

impl Head {
    pub(super) fn push(&mut self, tag: &HostTag, dict: &Arc<Dict>, rows: Vec<Arc<Row>>) {
        let host = self.hosts.entry(tag.host.clone()).or_insert_with(|| {
            Arc::new(HostHead { tag: tag.clone(), chunks: Vec::new(), latest: None })
        });
        let host = Arc::make_mut(host);
        host.tag = tag.clone();
        for row in rows {
            self.bytes += row.cost_bytes();
            if host.latest.as_ref().is_none_or(|(_, latest)| latest.at <= row.at) {
                host.latest = Some((Arc::clone(dict), Arc::clone(&row)));
            }
            match host.chunks.last_mut() {
                Some(chunk)
                    if Arc::ptr_eq(&chunk.dict, dict) && chunk.rows.len() < BLOCK_SCRAPES_MAX =>
                {
                    chunk.rows.push(row);
                }
                last => {
                    // A good host changes its dict seldom. One that brings a new one with every scrape pays for them.
                    if last.is_some_and(|chunk| !Arc::ptr_eq(&chunk.dict, dict)) {
                        self.bytes += dict_bytes(dict);
                    }
                    host.chunks.push(Chunk { dict: Arc::clone(dict), rows: vec![row] });
                }
            }
        }
    }

    /// Everything here is in day files now: only the latest values stay.
    pub(super) fn sealed(&mut self, upto: u64, now: Utc) {
        self.upto = self.upto.max(upto);
        self.range = None;
        self.since = None;
        self.bytes = 0;
        let oldest = now.before(LATEST_AGE).0;
        self.hosts.retain(|_, host| {
            Arc::make_mut(host).chunks.clear();
            host.latest.as_ref().is_some_and(|(_, row)| row.at >= oldest)
        });
    }
}

/// About what a dict takes in memory. Bytes.
fn dict_bytes(dict: &Dict) -> u64 {
    let one = |series: &Series| {
        let labels = series.labels.iter().map(|(name, value)| name.len() + value.len() + 48);
        series.name.len() + 48 + labels.sum::<usize>()
    };
    dict.series.iter().map(one).sum::<usize>() as u64
}
