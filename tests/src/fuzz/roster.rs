//! State records that parse, taken into the roll of the fleet: a host may say anything.

use muster_aggregator::roster::{Arrival, Roster};
use muster_proto::ids::Seq;
use muster_proto::state::parse_state;

use super::wrap::{AT, STREAM};
use super::{Target, state};

pub(super) const TARGET: Target =
    Target { rounds: 40_000, ..Target::new("roster", run, state::seeds) };

fn run(bytes: &[u8]) {
    let Ok(batch) = parse_state(bytes) else { return };
    let mut roster = Roster::new(AT);
    for seq in [1, 2, u64::MAX, 3] {
        let arrival = Arrival {
            host: "db1",
            datacenter: "eqiad",
            aggregator: "agg1",
            stream: STREAM,
            seq: Seq(seq),
        };
        roster.on_batch(arrival, AT, &batch);
        roster.on_tick(AT);
    }
    let saved = roster.changes();
    let host = roster.host("db1").expect("it spoke");
    host.counts(AT);
    host.lost_records();
    for (_, check) in host.checks() {
        host.is_stale(check, AT);
    }
    Roster::restore(AT, saved.hosts, saved.checks).on_tick(AT);
}
