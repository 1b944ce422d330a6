//! The roll of the fleet on virtual time: life, repeats, gaps, limits, restarts.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use fastrand::Rng;
use muster_proto::digest::Standing;
use muster_proto::lane::Lane;
use muster_proto::state::{CheckState, Gap, Heartbeat, HostFacts, StateRecord};
use muster_proto::verdict::{Urgency, Verdict};

use super::*;

const A: StreamId = StreamId([0xaa; 16]);
const B: StreamId = StreamId([0xbb; 16]);

fn at(s: i64) -> Utc {
    Utc(s * 1_000_000)
}

fn said(id: &str, verdict: Verdict, at_s: i64) -> StateRecord {
    StateRecord::Check(CheckState {
        id: id.to_owned(),
        instance: String::new(),
        verdict,
        since: at(at_s),
        at: at(at_s),
        valid_for_s: 300,
        urgency: Urgency::Ticket,
        message: format!("{id} {verdict}"),
        runbook: String::new(),
        owner: String::new(),
        evidence: String::new(),
    })
}

fn beat(at_s: i64) -> StateRecord {
    StateRecord::Heartbeat(Heartbeat { at: at(at_s), interval_s: 10, backlog: Vec::new() })
}

fn gone(id: &str, at_s: i64) -> StateRecord {
    StateRecord::CheckGone { id: id.to_owned(), instance: String::new(), at: at(at_s) }
}

fn full(at_s: i64) -> StateRecord {
    StateRecord::FullReport { at: at(at_s) }
}

fn bye(reason: &str, at_s: i64) -> StateRecord {
    StateRecord::Bye { at: at(at_s), reason: reason.to_owned() }
}

fn send(roster: &mut Roster, now_s: i64, (stream, seq): (StreamId, u64), records: &[StateRecord]) {
    let batch = StateBatch { records: records.to_vec() };
    roster.on_batch(arrival("db1", stream, seq), at(now_s), &batch);
}

fn arrival(host: &str, stream: StreamId, seq: u64) -> Arrival<'_> {
    Arrival { host, datacenter: "eqiad", aggregator: "agg1", stream, seq: Seq(seq) }
}

fn landing<'a>(host: &'a str, aggregator: &'a str) -> Landing<'a> {
    Landing { host, datacenter: "", aggregator, rank: Rank::default() }
}

/// What the roster shows: a line for each host and each of its checks.
fn show(roster: &Roster, now_s: i64) -> String {
    let mut text = String::new();
    for (name, host) in roster.hosts() {
        let counts = host.counts(at(now_s));
        let worst = host.worst().map_or("-", |check| check.id.as_str());
        let state = host.liveness();
        writeln!(text, "{name} {state:?} worst {worst} stale {}", counts.stale).unwrap();
        for (key, check) in host.checks() {
            writeln!(text, "  {} {}", key.id, check.verdict).unwrap();
        }
    }
    text
}

/// The one door: what the roster shows at a moment.
#[track_caller]
fn check(roster: &mut Roster, now_s: i64, expected: Expect) {
    roster.on_tick(at(now_s));
    expected.assert_eq(&show(roster, now_s));
}

#[test]
fn a_host_is_late_after_two_beats_and_lost_after_five() {
    let mut roster = Roster::new(at(0));
    send(&mut roster, 100, (A, 1), &[beat(100), said("fs.space", Verdict::Ok, 100)]);
    check(
        &mut roster,
        120,
        expect![[r#"
        db1 Live worst fs.space stale 0
          fs.space ok
    "#]],
    );
    check(
        &mut roster,
        121,
        expect![[r#"
        db1 Late worst fs.space stale 0
          fs.space ok
    "#]],
    );
    check(
        &mut roster,
        151,
        expect![[r#"
        db1 Lost worst fs.space stale 1
          fs.space ok
    "#]],
    );
    // A repeat is no sign of life; something new is.
    send(&mut roster, 152, (A, 1), &[beat(100)]);
    assert_eq!(roster.host("db1").unwrap().liveness(), &Liveness::Lost);
    send(&mut roster, 153, (A, 2), &[beat(153)]);
    assert_eq!(roster.host("db1").unwrap().liveness(), &Liveness::Live);
    let moved = roster.moved();
    let [(host, Some(lease))] = &moved[..] else { panic!("{moved:?}") };
    assert_eq!((host.as_str(), &lease.standing), ("db1", &Standing::Live));
    assert!(roster.moved().is_empty());
}

#[test]
fn a_check_is_stale_when_its_time_is_over() {
    let mut roster = Roster::new(at(0));
    send(&mut roster, 100, (A, 1), &[beat(100), said("fs.space", Verdict::Crit, 100)]);
    send(&mut roster, 400, (A, 2), &[beat(400)]);
    check(
        &mut roster,
        400,
        expect![[r#"
        db1 Live worst fs.space stale 0
          fs.space crit
    "#]],
    );
    check(
        &mut roster,
        401,
        expect![[r#"
        db1 Live worst fs.space stale 1
          fs.space crit
    "#]],
    );
}

#[test]
fn older_positions_never_overwrite_newer() {
    let mut roster = Roster::new(at(0));
    send(&mut roster, 100, (A, 3), &[said("a", Verdict::Crit, 90), gone("b", 90)]);
    send(&mut roster, 101, (A, 2), &[said("a", Verdict::Ok, 95), said("b", Verdict::Ok, 95)]);
    send(&mut roster, 102, (A, 3), &[said("a", Verdict::Warn, 99)]);
    check(
        &mut roster,
        102,
        expect![[r#"
        db1 Live worst a stale 0
          a crit
    "#]],
    );
}

#[test]
fn a_full_report_ends_what_it_does_not_name() {
    let mut roster = Roster::new(at(0));
    send(&mut roster, 100, (A, 1), &[said("a", Verdict::Ok, 100), said("b", Verdict::Crit, 100)]);
    send(
        &mut roster,
        110,
        (A, 2),
        &[full(110), said("a", Verdict::Warn, 110), said("c", Verdict::Ok, 110)],
    );
    // The one before the report comes again, too late.
    send(&mut roster, 111, (A, 1), &[said("b", Verdict::Crit, 100)]);
    check(
        &mut roster,
        111,
        expect![[r#"
        db1 Live worst a stale 0
          a warn
          c ok
    "#]],
    );
}

#[test]
fn a_wiped_spool_begins_a_new_life() {
    let mut roster = Roster::new(at(0));
    send(
        &mut roster,
        100,
        (B, 900),
        &[full(100), said("a", Verdict::Ok, 100), said("b", Verdict::Crit, 100)],
    );
    // A partial new life: what it does not speak of still stands in the old one.
    send(&mut roster, 110, (A, 1), &[said("a", Verdict::Warn, 110)]);
    check(
        &mut roster,
        110,
        expect![[r#"
        db1 Live worst b stale 0
          a warn
          b crit
    "#]],
    );
    send(&mut roster, 120, (A, 2), &[full(120), said("a", Verdict::Ok, 120)]);
    send(&mut roster, 121, (B, 901), &[said("a", Verdict::Crit, 105)]);
    check(
        &mut roster,
        121,
        expect![[r#"
        db1 Live worst a stale 0
          a ok
    "#]],
    );
}

#[test]
fn goodbye_freezes_and_a_reboot_that_does_not_return_is_lost() {
    let mut roster = Roster::new(at(0));
    send(&mut roster, 100, (A, 1), &[said("a", Verdict::Crit, 100), bye("stop", 100)]);
    check(
        &mut roster,
        90_000,
        expect![[r#"
        db1 Departed { reason: "stop" } worst a stale 1
          a crit
    "#]],
    );
    send(&mut roster, 90_010, (A, 2), &[beat(90_010), bye("reboot", 90_010)]);
    assert_eq!(roster.host("db1").unwrap().liveness().name(), "departed");
    roster.on_tick(at(90_010 + 1_800));
    assert_eq!(roster.host("db1").unwrap().liveness().name(), "departed");
    roster.on_tick(at(90_010 + 1_801));
    assert_eq!(roster.host("db1").unwrap().liveness().name(), "lost");
    send(&mut roster, 99_000, (A, 3), &[beat(99_000)]);
    assert_eq!(roster.host("db1").unwrap().liveness().name(), "live");
}

#[test]
fn silence_before_a_restart_does_not_count() {
    let mut before = Roster::new(at(0));
    let facts = HostFacts { role: "mariadb::core".to_owned(), ..HostFacts::default() };
    let gap = Gap {
        lane: Lane::Logs,
        stream: A,
        from: Seq(1),
        to: Seq(2),
        records: 7,
        why: "spool-budget".to_owned(),
        at: at(99),
    };
    let records = [
        StateRecord::Facts(facts),
        beat(100),
        full(100),
        said("a", Verdict::Warn, 100),
        gone("b", 100),
        StateRecord::Gap(gap),
    ];
    send(&mut before, 100, (A, 1), &records);
    before.on_connected(landing("web1", "agg2"), at(100));
    let changes = before.changes();
    assert!(before.changes().is_empty(), "changes are drained");
    let mut after = Roster::restore(at(5_000), changes.hosts, changes.checks);
    check(
        &mut after,
        5_020,
        expect![[r#"
        db1 Live worst a stale 1
          a warn
        web1 Live worst - stale 0
    "#]],
    );
    assert_eq!(after.host("db1").unwrap().facts().unwrap().role, "mariadb::core");
    assert_eq!(after.host("db1").unwrap().lost_records(), 7);
    // The follower reads some batches again: nothing doubles, nothing returns.
    send(&mut after, 5_021, (A, 1), &records);
    check(
        &mut after,
        5_051,
        expect![[r#"
        db1 Lost worst a stale 1
          a warn
        web1 Live worst - stale 0
    "#]],
    );
}

#[test]
fn limits_hold_and_are_counted() {
    let mut roster = Roster::new(at(0));
    let many: Vec<_> =
        (0..CHECKS_PER_HOST_MAX + 5).map(|n| said(&format!("c{n}"), Verdict::Ok, 1)).collect();
    send(&mut roster, 1, (A, 1), &many);
    assert_eq!(roster.excess().checks, 5);
    let mut fat = Vec::new();
    for n in 0..200 {
        let StateRecord::Check(mut state) = said(&format!("fat{n}"), Verdict::Crit, 1) else {
            unreachable!()
        };
        state.evidence = "e".repeat(64 * 1024);
        fat.push(StateRecord::Check(state));
    }
    roster.on_batch(arrival("fat", B, 1), at(1), &StateBatch { records: fat });
    assert_eq!(roster.host("fat").unwrap().checks().len(), 200);
    assert!(roster.excess().evidence > 100, "{:?}", roster.excess());
    for life in 0..10 {
        roster.on_batch(
            arrival("lives", StreamId([life; 16]), 1),
            at(1),
            &StateBatch { records: vec![beat(1)] },
        );
    }
    assert_eq!(roster.excess().lives, 7);
    for n in 0..HOSTS_MAX {
        roster.on_connected(landing(&format!("h{n}"), "agg1"), at(1));
    }
    assert_eq!((roster.hosts().count(), roster.excess().batches), (HOSTS_MAX, 3));
}

/// One random history: batches of two lives of a host, in the order in which they happened.
fn history(random: &mut Rng) -> Vec<(StreamId, u64, StateBatch)> {
    let mut history = Vec::new();
    let mut now_s = 1_000;
    for stream in [B, A] {
        for seq in 1..=random.u64(1..12) {
            now_s += random.i64(1..20);
            let mut records = Vec::new();
            if random.u8(..) < 64 {
                records.push(full(now_s));
            }
            for _ in 0..random.usize(..5) {
                let id = ["a", "b", "c", "d", "e"][random.usize(..5)];
                let verdict = [Verdict::Ok, Verdict::Warn, Verdict::Crit][random.usize(..3)];
                let gone_now = random.u8(..) < 80;
                records.push(if gone_now { gone(id, now_s) } else { said(id, verdict, now_s) });
            }
            records.push(beat(now_s));
            history.push((stream, seq, StateBatch { records }));
        }
    }
    history
}

#[test]
fn converges() {
    for seed in 0..500 {
        let mut random = Rng::with_seed(seed);
        let history = history(&mut random);
        let mut straight = Roster::new(at(0));
        for (stream, seq, batch) in &history {
            straight.on_batch(arrival("db1", *stream, *seq), at(9_000), batch);
        }
        let mut mixed = history.clone();
        mixed.extend((0..history.len()).map(|_| history[random.usize(..history.len())].clone()));
        random.shuffle(&mut mixed);
        let mut shuffled = Roster::new(at(0));
        // Half-way through the roster goes to the store and back.
        let (first, second) = mixed.split_at(mixed.len() / 2);
        let mut saved: (BTreeMap<String, HostRecord>, BTreeMap<CheckRef, CheckRecord>) =
            Default::default();
        for (stream, seq, batch) in first {
            shuffled.on_batch(arrival("db1", *stream, *seq), at(9_000), batch);
            if random.bool() {
                save(&mut saved, shuffled.changes());
            }
        }
        save(&mut saved, shuffled.changes());
        let restored = Roster::restore(
            at(0),
            saved.0.into_values().collect(),
            saved.1.into_values().collect(),
        );
        assert_eq!(
            show(&shuffled, 9_000),
            show(&restored, 9_000),
            "seed {seed}: the store knows everything"
        );
        for (stream, seq, batch) in second {
            shuffled.on_batch(arrival("db1", *stream, *seq), at(9_000), batch);
        }
        assert_eq!(show(&straight, 9_000), show(&shuffled, 9_000), "seed {seed}");
    }
}

fn save(
    saved: &mut (BTreeMap<String, HostRecord>, BTreeMap<CheckRef, CheckRecord>),
    changes: Changes,
) {
    saved.0.extend(changes.hosts.into_iter().map(|record| (record.host.clone(), record)));
    for gone in &changes.gone_checks {
        saved.1.remove(gone);
    }
    saved.1.extend(changes.checks.into_iter().map(|record| {
        let state = &record.state;
        let key = CheckRef {
            host: record.host.clone(),
            stream: record.stream,
            id: state.id.clone(),
            instance: state.instance.clone(),
        };
        (key, record)
    }));
}

#[test]
fn the_state_store_brings_the_roster_back() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        let mut random = Rng::with_seed(seed);
        let file = folder.path().join(format!("{seed}.db"));
        let mut store = crate::stores::state::StateStore::open(&file).unwrap();
        let mut roster = Roster::new(at(0));
        let history = history(&mut random);
        let half = history.len() / 2;
        let mut unsaved = Changes::default();
        for (stream, seq, batch) in &history[..half] {
            roster.on_batch(arrival("db1", *stream, *seq), at(9_000), batch);
            unsaved.merge(roster.changes());
            if random.bool() {
                store.save(&std::mem::take(&mut unsaved)).unwrap();
            }
        }
        roster.on_connected(landing("gone", "agg1"), at(9_000));
        unsaved.merge(roster.changes());
        roster.forget("gone");
        unsaved.merge(roster.changes());
        store.save(&unsaved).unwrap();
        let saved = store.load().unwrap();
        let mut restored = Roster::restore(at(9_000), saved.hosts, saved.checks);
        assert_eq!(show(&roster, 9_000), show(&restored, 9_000), "seed {seed}");
        // The spool gives some batches again, then new ones.
        for (stream, seq, batch) in &history[half.saturating_sub(3)..] {
            restored.on_batch(arrival("db1", *stream, *seq), at(9_000), batch);
            roster.on_batch(arrival("db1", *stream, *seq), at(9_000), batch);
        }
        assert_eq!(show(&roster, 9_000), show(&restored, 9_000), "seed {seed}, going on");
    }
}
