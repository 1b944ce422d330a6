//! The formats: what is written can be read, what is damaged is refused, what is old opens for ever.

#![allow(clippy::unwrap_used)] // a test may panic

mod control;
mod fixtures;
mod frame;
mod state;

use muster_proto::clock::Utc;
use muster_proto::control::{
    FromAgent, FromAggregator, Hello, LaneKnown, LaneOffer, RootsHeld, Welcome,
};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_proto::state::{
    Backlog, CheckState, Gap, Heartbeat, HostFacts, StateBatch, StateRecord,
};
use muster_proto::verdict::{Urgency, Verdict};

const STREAM: StreamId =
    StreamId([0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255]);
const AT: Utc = Utc(1_789_000_000_123_456);

/// One of every kind of state record. Fixtures are made of it: never change it, add another.
fn every_record() -> StateBatch {
    let facts = HostFacts {
        datacenter: "eqiad".into(),
        role: "mariadb::core".into(),
        tags: vec!["db-replica".into(), "überwacht".into()],
        os: "Debian GNU/Linux 13 (trixie)".into(),
        kernel: "6.12.48+deb13-amd64".into(),
        machine: "x86_64".into(),
        cpus: 64,
        memory_bytes: 512 << 30,
        boot_id: "b2f3c4d5-0000-4000-8000-000000000001".into(),
        booted_at: Utc(-1),
        agent_version: "0.1.0".into(),
    };
    let check = CheckState {
        id: "fs.space".into(),
        instance: "/srv".into(),
        verdict: Verdict::Crit,
        since: Utc(AT.0 - 60_000_000),
        at: AT,
        valid_for_s: 180,
        urgency: Urgency::Page,
        message: "98.2 % used, full in 5 h".into(),
        runbook: "https://example.org/runbook/fs".into(),
        owner: "data".into(),
        evidence: "41G /srv/sqldata\n".into(),
    };
    let gap = Gap {
        lane: Lane::Logs,
        stream: STREAM,
        from: Seq::NONE,
        to: Seq(u64::MAX),
        records: 12_345,
        why: "spool-budget".into(),
        at: AT,
    };
    let backlog = vec![Backlog { lane: Lane::Bulk, frames: 1, bytes: 2, dropped: 3 }];
    StateBatch {
        records: vec![
            StateRecord::Facts(facts),
            StateRecord::Heartbeat(Heartbeat { at: AT, interval_s: 10, backlog }),
            StateRecord::FullReport { at: AT },
            StateRecord::Check(check),
            StateRecord::CheckGone { id: "md.state".into(), instance: "md0".into(), at: AT },
            StateRecord::Gap(gap),
            StateRecord::Bye { at: AT, reason: "reboot".into() },
        ],
    }
}

/// Every message of an agent, with the name of its fixture. Never change one, add another.
fn agent_messages() -> Vec<(&'static str, FromAgent)> {
    let lane = LaneOffer {
        lane: Lane::State,
        stream: STREAM,
        first_unacked: Seq(41),
        last: Seq(u64::MAX),
    };
    let hello = Hello {
        version: 1,
        host: "db1150.eqiad.example.org".into(),
        datacenter: "eqiad".into(),
        agent_version: "0.1.0".into(),
        probe: false,
        lanes: vec![lane],
        epoch: 0,
        turn: 0,
        roots: None,
    };
    let held = RootsHeld { number: u64::MAX, is_current: true };
    let known = Hello { epoch: 1, turn: 2, roots: Some(held), ..hello.clone() };
    vec![
        ("hello", FromAgent::Hello(hello)),
        ("hello-roots", FromAgent::Hello(known)),
        ("bye", FromAgent::Bye { reason: "failback".into() }),
        ("nudge", FromAgent::Nudge),
        ("renew", FromAgent::Renew { csr: vec![0x30, 0x82, 0, 255] }),
    ]
}

/// Every message of an aggregator, likewise.
fn aggregator_messages() -> Vec<(&'static str, FromAggregator)> {
    let welcome = Welcome {
        aggregator: "agg1.eqiad.example.org".into(),
        datacenter: "eqiad".into(),
        known: vec![LaneKnown { lane: Lane::Logs, stream: STREAM, durable: Seq(7) }],
        credit_bytes: 4 << 20,
    };
    let chain = vec![serde_bytes::ByteBuf::from(vec![0x30, 1]), serde_bytes::ByteBuf::from(vec![])];
    let ack = FromAggregator::Ack { lane: Lane::Metrics, stream: STREAM, seq: Seq(1 << 40) };
    vec![
        ("welcome", FromAggregator::Welcome(welcome)),
        ("ack", ack),
        ("credit", FromAggregator::Credit { bytes: 0 }),
        ("drain", FromAggregator::Drain { reason: "stop".into(), retry_after_ms: 60_000 }),
        ("renewed", FromAggregator::Renewed { chain }),
        ("roots", FromAggregator::Roots { list: vec![0xa2, 0, 255] }),
        ("refused", FromAggregator::Refused { why: "the certificate is for X".into() }),
    ]
}
