//! Stories of an aggregator: what it knows of itself in, what it shows out.

use expect_test::{Expect, expect};
use muster_proto::clock::{Moment, Mono, Utc};

use super::*;

const START_S: i64 = 1_795_000_000;
const DAY_US: i64 = 86_400 * 1_000_000;

fn at(second: u64) -> Moment {
    Moment { utc: Utc((START_S + second as i64) * 1_000_000), mono: Mono(second * 1_000_000) }
}

fn well() -> Facts {
    let now = at(0).utc;
    let lane = |lane: &str| LaneFacts {
        lane: lane.to_owned(),
        refusal: None,
        bytes: 40 << 20,
        budget_bytes: 400 << 20,
    };
    let store = |store: &str| StoreFacts { store: store.to_owned(), ..StoreFacts::default() };
    Facts {
        disk_free: Ok(0.5),
        stops_acking: false,
        lanes: vec![lane("logs")],
        stores: vec![store("logs")],
        peers: vec![("agg2".to_owned(), true)],
        certificate: CertificateFacts {
            issued_at: Utc(now.0 - 10 * DAY_US),
            expires_at: Utc(now.0 + 20 * DAY_US),
        },
        revocations: RevocationFacts { heard_at: now, trouble: None },
        overflows: vec![("streams", 0)],
    }
}

/// The one door: looks one second apart in; each row that is not what it was before out, with its second.
#[track_caller]
fn check(looks: u64, change: impl Fn(u64, &mut Facts), expected: Expect) {
    let mut board = Board::default();
    let mut told = String::new();
    let mut before: Vec<(String, Verdict)> = Vec::new();
    for second in 0..looks {
        let mut facts = well();
        facts.revocations.heard_at = at(second).utc;
        change(second, &mut facts);
        board.on_look(at(second), facts);
        let mut now = Vec::new();
        for row in board.states() {
            let key = format!("{} {}", row.id, row.instance);
            let news = !before.contains(&(key.clone(), row.verdict));
            if news && (second > 0 || row.verdict != Verdict::Ok) {
                let _ = writeln!(
                    told,
                    "{second} s: {} {}: {}",
                    key.trim_end(),
                    row.verdict,
                    row.message
                );
            }
            now.push((key, row.verdict));
        }
        before = now;
    }
    expected.assert_eq(&told);
}

#[test]
fn a_healthy_aggregator_says_ok_to_everything() {
    let mut board = Board::default();
    board.on_look(at(0), well());
    let rows: Vec<String> = board
        .states()
        .iter()
        .map(|row| format!("{} {} {}: {}", row.verdict, row.id, row.instance, row.message))
        .collect();
    expect![[r#"
        ok aggregator.certificate : 20 d 0 h left, 67 % of its life
        ok aggregator.disk : 50 % free
        ok aggregator.inbox logs: 10 % of its 400 MiB
        ok aggregator.limits streams: hit 0 times since the start
        ok aggregator.peer agg2: linked
        ok aggregator.revocations : heard 0 s ago
        ok aggregator.store logs: 0 frames wait for it"#]]
    .assert_eq(&rows.join("\n"));
}

#[test]
fn a_full_disk_is_told_within_seconds_and_over_soon_after() {
    let change = |second: u64, facts: &mut Facts| {
        if (2..8).contains(&second) {
            facts.disk_free = Ok(0.0);
            facts.stops_acking = true;
            facts.lanes[0].refusal = Some("No space left on device".to_owned());
        }
    };
    check(
        14,
        change,
        expect![[r#"
            3 s: aggregator.disk crit: 0 % free; nothing is acked, agents keep what they have or go elsewhere
            3 s: aggregator.inbox logs crit: takes in no logs: No space left on device
            10 s: aggregator.disk ok: 50 % free
            10 s: aggregator.inbox logs ok: 10 % of its 400 MiB
        "#]],
    );
}

#[test]
fn one_refused_write_is_not_news() {
    let change = |second: u64, facts: &mut Facts| {
        facts.lanes[0].refusal = (second == 3).then(|| "interrupted".to_owned());
    };
    check(10, change, expect![[""]]);
}

#[test]
fn the_dead_band_of_the_disk_is_where_acking_goes_on() {
    let change = |second: u64, facts: &mut Facts| {
        let free =
            [0.04, 0.04, 0.06, 0.06, 0.06, 0.06, 0.08, 0.08, 0.08, 0.08, 0.13, 0.13, 0.13, 0.13];
        facts.disk_free = Ok(free[second as usize]);
    };
    check(
        14,
        change,
        expect![[r#"
            1 s: aggregator.disk crit: 4 % free
            8 s: aggregator.disk warn: 8 % free
            12 s: aggregator.disk ok: 13 % free
        "#]],
    );
}

#[test]
fn a_store_that_fails_or_lags_is_named() {
    let fails = |second: u64, facts: &mut Facts| {
        facts.stores[0].failures = second.min(12) * 3;
        facts.stores[0].last_error = "disk I/O error".to_owned();
    };
    check(
        30,
        fails,
        expect![[r#"
            6 s: aggregator.store logs crit: fails: disk I/O error
            23 s: aggregator.store logs ok: 0 frames wait for it
        "#]],
    );
    let lags = |_, facts: &mut Facts| facts.stores[0].waiting = 2_500;
    check(
        8,
        lags,
        expect![[r#"
            5 s: aggregator.store logs warn: 2500 frames wait for it
        "#]],
    );
}

#[test]
fn a_silent_peer_an_old_certificate_and_an_old_list_are_told() {
    let change = |second: u64, facts: &mut Facts| {
        facts.peers[0].1 = false;
        facts.certificate.expires_at = Utc(at(second).utc.0 + DAY_US / 2);
        facts.revocations.heard_at = Utc(at(0).utc.0 - 700 * 1_000_000);
    };
    check(
        33,
        change,
        expect![[r#"
            1 s: aggregator.certificate crit: 12 h 0 min left, 5 % of its life
            1 s: aggregator.revocations warn: heard 11 min 41 s ago
            30 s: aggregator.peer agg2 crit: not linked
        "#]],
    );
}

#[test]
fn a_list_that_is_refused_is_critical_and_a_peer_that_is_gone_has_no_row() {
    let change = |second: u64, facts: &mut Facts| {
        facts.revocations.trouble =
            Some("agg2: the list is not signed by the authority".to_owned());
        if second > 0 {
            facts.peers.clear();
        }
        facts.disk_free = Err("Permission denied".to_owned());
    };
    check(
        3,
        change,
        expect![[r#"
            1 s: aggregator.revocations crit: agg2: the list is not signed by the authority
        "#]],
    );
}

#[test]
fn a_limit_that_was_hit_is_told_for_ten_minutes() {
    let change = |second: u64, facts: &mut Facts| {
        facts.overflows[0].1 = if second < 5 { 0 } else { 3 };
    };
    check(
        700,
        change,
        expect![[r#"
            5 s: aggregator.limits streams warn: hit 3 times since the start
            606 s: aggregator.limits streams ok: hit 3 times since the start
        "#]],
    );
}

#[test]
fn every_check_has_its_words() {
    let mut ids = std::collections::BTreeSet::new();
    for about in CHECKS.iter().map(|check| check.about()) {
        assert!(about.id.starts_with("aggregator.") && ids.insert(about.id), "{}", about.id);
        assert!(about.manual.len() > 60 && about.manual.ends_with('.'), "{}", about.id);
        assert!(!about.runbook.is_empty() && !about.runbook.ends_with('.'), "{}", about.id);
        assert!(manual().contains(&about.id.replace('-', "\\-")));
    }
}
