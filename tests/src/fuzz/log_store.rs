//! Log frames of a host that are well wrapped, with any body, taken into the store and searched.

use std::cell::RefCell;
use std::ops::ControlFlow;

use muster_aggregator::stores::logs::{Budget, LogQuery, LogSettings, LogStore};
use muster_aggregator::stores::{HostTag, StoreError};
use muster_proto::frame::Kind;
use muster_proto::ids::Seq;
use muster_proto::log::parse_log;
use tempfile::TempDir;

use super::{Target, log_body, wrap};

pub(super) const TARGET: Target =
    Target { rounds: 400, ..Target::new("log-store", run, log_body::seeds) };

/// Frames between two seals.
const FRAMES: u64 = 64;

thread_local! {
    static STORE: RefCell<Option<(TempDir, LogStore, u64)>> = const { RefCell::new(None) };
}

fn run(mut bytes: &[u8]) {
    let first_at = wrap::take_u64(&mut bytes);
    let lines = parse_log(wrap::AT, bytes).map_or(1, |frame| frame.len() as u32);
    // Now and then a header that counts otherwise.
    let records = if first_at % 8 == 1 { lines + 1 } else { lines };
    STORE.with_borrow_mut(|kept| {
        let (_, store, seq) = kept.get_or_insert_with(|| {
            let folder = tempfile::tempdir().expect("room for a store");
            let store = LogStore::open(folder.path(), wrap::STREAM, LogSettings::default());
            (folder, store.expect("an empty store opens"), 0)
        });
        *seq += 1;
        let Some(frame) = wrap::frame(Kind::Log, records, Seq(*seq), bytes) else { return };
        let tag = HostTag { host: "db1".to_owned(), datacenter: "eqiad".to_owned() };
        let taken = store.take(*seq, &tag, &frame, wrap::AT);
        let is_refused = matches!(taken, Err(StoreError::Body { .. } | StoreError::Frame { .. }));
        assert!(taken.is_ok() || is_refused, "{taken:?}");
        let budget = Budget { scan_bytes_max: 1 << 20, memory_bytes_max: 1 << 20, stop: &|| None };
        let query = LogQuery { substring: Some("a".to_owned()), limit: 10, ..LogQuery::default() };
        let found = store.search(&query, &budget, &mut |_| ControlFlow::Continue(()));
        found.expect("the store can be searched");
        if *seq % FRAMES == 0 {
            store.seal(wrap::AT).expect("the store can be sealed");
        }
    });
}
