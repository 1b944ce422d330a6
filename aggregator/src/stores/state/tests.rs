//! What is written is there after a reopen, batches are whole, newer schemas are refused.

use muster_proto::ids::Seq;
use muster_proto::lane::Lane;
use muster_proto::verdict::{Urgency, Verdict};

use super::*;

fn host(name: &str, seen: i64) -> SavedHost {
    SavedHost {
        tag: HostTag { host: name.into(), datacenter: "eqiad".into() },
        state: "live".into(),
        last_seen: Utc(seen),
        aggregator: "agg1".into(),
        stream: StreamId([3; 16]),
        facts: (seen > 1).then(|| HostFacts { role: "db".into(), cpus: 8, ..HostFacts::default() }),
    }
}

fn check(id: &str, instance: &str) -> CheckState {
    CheckState {
        id: id.into(),
        instance: instance.into(),
        verdict: Verdict::Warn,
        since: Utc(1),
        at: Utc(2),
        valid_for_s: 60,
        urgency: Urgency::Page,
        message: "92 % full".into(),
        runbook: String::new(),
        owner: String::new(),
        evidence: "…".into(),
    }
}

fn gap(from: u64) -> Gap {
    Gap {
        lane: Lane::Logs,
        stream: StreamId([3; 16]),
        from: Seq(from),
        to: Seq(from + 4),
        records: 99,
        why: "spool-budget".into(),
        at: Utc(5),
    }
}

#[test]
fn everything_is_there_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let mut store = StateStore::open(&file).unwrap();
    store.save_host(host("b", 1)).unwrap();
    store.save_host(host("a", 1)).unwrap();
    store.save_host(host("a", 7)).unwrap();
    store
        .save_checks(
            "a",
            vec![check("fs.space", "/"), check("fs.space", "/srv"), check("load", "")],
        )
        .unwrap();
    store.save_gap("a", gap(1)).unwrap();
    store.save_gap("a", gap(1)).unwrap();
    let batch = [
        StateWrite::CheckGone { host: "a".into(), id: "fs.space".into(), instance: "/".into() },
        StateWrite::Check { host: "b".into(), check: check("load", "") },
        StateWrite::Gap { host: "b".into(), gap: gap(9) },
        StateWrite::Value { name: "x".into(), value: Some(vec![1, 2]) },
        StateWrite::Value { name: "y".into(), value: Some(vec![3]) },
        StateWrite::Value { name: "y".into(), value: None },
    ];
    store.write(&batch).unwrap();
    drop(store);
    let mut store = StateStore::open(&file).unwrap();
    let saved = store.load_all().unwrap();
    assert_eq!(saved.hosts, [host("a", 7), host("b", 1)]);
    let checks =
        [("a", check("fs.space", "/srv")), ("a", check("load", "")), ("b", check("load", ""))];
    assert_eq!(saved.checks, checks.map(|(host, check)| (host.to_string(), check)));
    assert_eq!(saved.gaps, [("a".to_string(), gap(1)), ("b".to_string(), gap(9))]);
    assert_eq!((store.value("x").unwrap(), store.value("y").unwrap()), (Some(vec![1, 2]), None));
    store.write(&[StateWrite::HostGone { host: "a".into() }]).unwrap();
    let saved = store.load_all().unwrap();
    assert_eq!((saved.hosts.len(), saved.checks.len(), saved.gaps.len()), (1, 1, 2));
}

#[test]
fn a_batch_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = StateStore::open(&folder.path().join("state.db")).unwrap();
    let refuse =
        "CREATE TRIGGER refuse BEFORE INSERT ON gap BEGIN SELECT raise(ABORT, 'full'); END";
    store.db.execute_batch(refuse).unwrap();
    let batch = [StateWrite::Host(host("a", 1)), StateWrite::Gap { host: "a".into(), gap: gap(1) }];
    store.write(&batch).unwrap_err();
    assert_eq!(store.load_all().unwrap(), Saved::default());
}

#[test]
fn rows_that_cannot_be_read_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = StateStore::open(&folder.path().join("state.db")).unwrap();
    store.save_checks("a", vec![check("load", ""), check("fs", "")]).unwrap();
    store.db.execute("UPDATE chk SET body = x'00' WHERE id = 'fs'", []).unwrap();
    let saved = store.load_all().unwrap();
    assert_eq!((saved.checks.len(), saved.unreadable), (1, 1));
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let store = StateStore::open(&file).unwrap();
    store.db.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let refused = StateStore::open(&file).err();
    assert!(matches!(refused, Some(StoreError::Schema { found: 99, known: 1, .. })), "{refused:?}");
}
