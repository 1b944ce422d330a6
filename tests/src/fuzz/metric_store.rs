//! Metric frames of a host that are well wrapped, with any body, taken into the store and asked for.
//! The first byte says whether the body is a dict's.

use std::cell::RefCell;
use std::time::Duration;

use muster_aggregator::stores::metrics::{MetricSettings, MetricStore, RangeQuery, Selector};
use muster_aggregator::stores::{HostTag, StoreError, Taken};
use muster_proto::clock::Utc;
use muster_proto::frame::Kind;
use muster_proto::ids::Seq;
use muster_proto::metric::{encode_dict, encode_scrapes};
use tempfile::TempDir;

use super::{Target, metric_dict, metric_scrapes, wrap};

pub(super) const TARGET: Target = Target { rounds: 600, ..Target::new("metric-store", run, seeds) };

/// Frames between two seals.
const FRAMES: u64 = 64;
/// Series in the dict that frames refer to.
const SERIES: usize = 7;

thread_local! {
    static STORE: RefCell<Option<(TempDir, MetricStore, u64)>> = const { RefCell::new(None) };
}

fn run(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    STORE.with_borrow_mut(|kept| {
        let (_, store, seq) = kept.get_or_insert_with(open);
        *seq += 1;
        let tag = tag();
        let taken = if choice % 2 == 0 {
            let Some(frame) = wrap::frame(Kind::Dict, 0, Seq(*seq + 1), body) else { return };
            store.take_dict(&tag, &frame)
        } else {
            let Some(frame) = wrap::frame(Kind::Metric, 0, Seq(*seq), body) else { return };
            store.take(*seq, &tag, &frame, wrap::AT)
        };
        expect_sense(&taken);
        let query = RangeQuery {
            since: Utc(wrap::AT.0 - 3_600_000_000),
            until: Utc(wrap::AT.0 + 3_600_000_000),
            step: Duration::from_secs(60),
        };
        let all = Selector::parse("{host=\"db1\"}").expect("a selector");
        store.range(&all, query).expect("the store can be asked");
        store.last(&all);
        if *seq % FRAMES == 0 {
            store.seal(wrap::AT).expect("the store can be sealed");
        }
    });
}

fn expect_sense(taken: &Result<Taken, StoreError>) {
    let is_refused = matches!(taken, Err(StoreError::Body { .. } | StoreError::Frame { .. }));
    assert!(taken.is_ok() || is_refused, "{taken:?}");
}

fn open() -> (TempDir, MetricStore, u64) {
    let folder = tempfile::tempdir().expect("room for a store");
    let store = MetricStore::open(folder.path(), wrap::STREAM, MetricSettings::default());
    let store = store.expect("an empty store opens");
    let dict = encode_dict(&metric_dict::dict(SERIES));
    let frame = wrap::frame(Kind::Dict, 0, Seq(1), &dict).expect("a small dict");
    store.take_dict(&tag(), &frame).expect("a good dict");
    (folder, store, 0)
}

fn tag() -> HostTag {
    HostTag { host: "db1".to_owned(), datacenter: "eqiad".to_owned() }
}

fn seeds() -> Vec<Vec<u8>> {
    let dict = metric_dict::dict(SERIES);
    let scrapes = encode_scrapes(&dict, &metric_scrapes::scrapes(&dict, 5));
    let mut seeds = vec![[b"\x01", &scrapes[..]].concat()];
    seeds.extend(metric_dict::seeds().iter().map(|dict| [b"\0", &dict[..]].concat()));
    seeds
}
