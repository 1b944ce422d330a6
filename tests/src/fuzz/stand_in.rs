//! An aggregator's rooms with real stores that hold little, for the targets that ask questions. Not a target.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use muster_aggregator::api::rooms::QUESTIONS_MAX;
use muster_aggregator::api::stored::Stored;
use muster_aggregator::api::{PeerError, Peers, Reply, Rooms};
use muster_aggregator::roster::leases::Leases;
use muster_aggregator::roster::{Arrival, Roster};
use muster_aggregator::stores::HostTag;
use muster_aggregator::stores::logs::{LogSettings, LogStore};
use muster_aggregator::stores::metrics::{MetricSettings, MetricStore};
use muster_proto::frame::Kind;
use muster_proto::ids::Seq;
use muster_proto::log::parse_log;
use muster_proto::metric::{encode_dict, encode_scrapes};
use muster_proto::state::parse_state;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::{log_body, metric_dict, metric_scrapes, state, wrap};

/// Rooms, and a runtime to ask them on.
pub(super) struct StandIn {
    /// Where the stores and the socket are.
    pub(super) folder: TempDir,
    /// One thread, and others for what blocks.
    pub(super) runtime: Runtime,
    /// What the API asks.
    pub(super) rooms: Arc<Rooms>,
}

/// No peers.
struct Nobody;

impl Peers for Nobody {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn ask(&self, _peer: &str, _question: Vec<u8>) -> Reply {
        Box::pin(async { Err(PeerError { source: None }) })
    }
}

impl StandIn {
    /// One host with checks, lines and series.
    pub(super) fn build() -> StandIn {
        let folder = tempfile::tempdir().expect("room for stores");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tag = HostTag { host: "db1".to_owned(), datacenter: "eqiad".to_owned() };
        let telemetry = Stored { logs: logs(&folder, &tag), metrics: metrics(&folder, &tag) };
        let rooms = Rooms {
            name: "agg1".to_owned(),
            datacenter: "eqiad".to_owned(),
            version: "0.1.0".to_owned(),
            started_at: wrap::AT,
            roster: Arc::new(Mutex::new(roster())),
            leases: Arc::new(Mutex::new(Leases::new(("agg1", "eqiad"), &[], wrap::AT))),
            incidents: Arc::default(),
            telemetry: Arc::new(telemetry),
            peers: Arc::new(Nobody),
            restricted: BTreeSet::from(["auth".to_owned()]),
            own: Arc::new(String::new),
            own_checks: Arc::new(Vec::new),
            clock: || wrap::AT,
            turns: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        };
        StandIn { folder, runtime: runtime.expect("a runtime"), rooms: Arc::new(rooms) }
    }
}

fn logs(folder: &TempDir, tag: &HostTag) -> LogStore {
    let path = folder.path().join("logs");
    let store = LogStore::open(&path, wrap::STREAM, LogSettings::default()).expect("a new store");
    let body = &log_body::seeds()[0][8..];
    let records = parse_log(wrap::AT, body).expect("the fixture").len() as u32;
    for seq in 1..=2 {
        let frame = wrap::frame(Kind::Log, records, Seq(seq), body).expect("a small frame");
        store.take(seq, tag, &frame, wrap::AT).expect("a good frame");
        store.seal(wrap::AT).expect("room for a part");
    }
    store
}

fn metrics(folder: &TempDir, tag: &HostTag) -> MetricStore {
    let path = folder.path().join("metrics");
    let store = MetricStore::open(&path, wrap::STREAM, MetricSettings::default());
    let store = store.expect("a new store");
    let dict = metric_dict::dict(7);
    let frame = wrap::frame(Kind::Dict, 0, Seq(1), &encode_dict(&dict)).expect("a small dict");
    store.take_dict(tag, &frame).expect("a good dict");
    let body = encode_scrapes(&dict, &metric_scrapes::scrapes(&dict, 20));
    let frame = wrap::frame(Kind::Metric, 140, Seq(1), &body).expect("a small frame");
    store.take(1, tag, &frame, wrap::AT).expect("a good frame");
    store
}

fn roster() -> Roster {
    let mut roster = Roster::new(wrap::AT);
    let arrival = Arrival {
        host: "db1",
        datacenter: "eqiad",
        aggregator: "agg1",
        stream: wrap::STREAM,
        seq: Seq(1),
    };
    let batch = parse_state(&state::seeds()[0]).expect("the fixture");
    roster.on_batch(arrival, wrap::AT, &batch);
    roster
}
