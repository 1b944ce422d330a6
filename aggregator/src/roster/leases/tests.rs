//! Leases on virtual time: three aggregators that ask one another, step by step. The whole fleet, with everything
//! that can break, is `aggregator/tests/sites`.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use muster_proto::digest::{Edition, Rank};

use super::*;

fn at(second: i64) -> Utc {
    Utc(1_795_000_000_000_000 + second * 1_000_000)
}

fn lease(host: &str, turn: u64, connected: bool, second: i64) -> Lease {
    Lease {
        host: host.to_owned(),
        datacenter: "eqiad".to_owned(),
        rank: Rank { epoch: 1, turn },
        connected,
        since: at(second),
        heard: at(second),
        beat_s: 10,
        standing: Standing::Live,
        left: String::new(),
    }
}

/// One of the three.
fn leases(me: &str, second: i64) -> Leases {
    let peers = ["a", "b", "c"].into_iter().filter(|name| *name != me);
    let peers: Vec<(String, String)> =
        peers.map(|name| (name.to_owned(), format!("site-{name}"))).collect();
    Leases::new((me, &format!("site-{me}")), &peers, at(second))
}

/// `to` asks `from` about `of`; gives the answer as it came.
fn tell(from: &Leases, to: &mut Leases, of: &str, second: i64) -> Digest {
    let ask = to.ask(from.me().0, of, at(second));
    let digest = from.answer(&ask, at(second)).unwrap();
    to.on_digest(from.me().0, digest.clone(), at(second));
    digest
}

/// The one door: what is known of every host at a moment.
#[track_caller]
fn check(leases: &Leases, second: i64, expected: Expect) {
    let mut text = String::new();
    for (host, record) in leases.hosts() {
        let view = leases.view(record, at(second));
        let seen = (view.last_seen.0 - at(0).0) / 1_000_000;
        let told = if view.is_told { "told" } else { "aged" };
        let (owner, state) = (&record.owner, view.liveness.name());
        writeln!(text, "{host} at {owner} {state} {told} seen {seen}").unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn a_peer_is_told_what_it_lacks_and_no_more() {
    let (mut a, mut b) = (leases("a", 0), leases("b", 0));
    for n in 1..=3 {
        a.on_own(&format!("db{n}"), Some(lease(&format!("db{n}"), 1, true, 1)), at(1));
    }
    let first = tell(&a, &mut b, "a", 2);
    assert_eq!((first.base, first.leases.len()), (None, 3));
    assert_eq!(tell(&a, &mut b, "a", 4).leases.len(), 0);
    a.on_own("db2", Some(lease("db2", 1, false, 5)), at(5));
    // The same word again is no news.
    a.on_own("db3", Some(lease("db3", 1, true, 5)), at(5));
    a.on_own("db1", None, at(5));
    let delta = tell(&a, &mut b, "a", 6);
    assert_eq!((delta.leases.len(), delta.gone.as_slice()), (1, &["db1".to_owned()][..]));
    // A new run of `a` has other editions: everything is told.
    let mut again = leases("a", 7);
    again.on_own("db2", Some(lease("db2", 2, true, 8)), at(8));
    let full = tell(&again, &mut b, "a", 8);
    assert_eq!((full.base, full.edition), (None, Edition { life: at(7).0, change: 1 }));
    let (hour, ask) = (at(3_600), b.ask("a", "a", at(3_600)));
    assert_eq!(ask.known, None, "everything is asked for again now and then");
    assert!(again.answer(&ask, hour).unwrap().base.is_none());
}

#[test]
fn late_repeated_and_unasked_digests_change_nothing() {
    let (mut a, mut b) = (leases("a", 0), leases("b", 0));
    a.on_own("db1", Some(lease("db1", 1, true, 1)), at(1));
    let old = tell(&a, &mut b, "a", 2);
    a.on_own("db1", Some(lease("db1", 1, false, 3)), at(3));
    tell(&a, &mut b, "a", 4);
    for digest in [old.clone(), Digest { number: 99, ..old.clone() }] {
        b.on_digest("a", digest, at(60));
    }
    let ask = b.ask("a", "a", at(60));
    b.on_digest("a", old, at(60));
    assert_eq!(b.refused().digests, 3);
    assert!(!b.is_vouched("a", at(60)), "an old answer is no sign of life");
    assert!(b.host("db1").is_some_and(|record| !record.lease.connected));
    let answer = a.answer(&ask, at(61)).unwrap();
    b.on_digest("a", answer.clone(), at(61));
    assert!(b.is_vouched("a", at(61)), "its own answer is");
    b.on_digest("a", answer, at(62));
    assert_eq!(b.refused().digests, 4, "once");
}

#[test]
fn a_host_belongs_to_its_newest_connection_and_falls_back_when_that_ends() {
    let (mut a, mut b, mut c) = (leases("a", 0), leases("b", 0), leases("c", 0));
    // A race: both are open for a moment, the second one is the newer.
    a.on_own("db1", Some(lease("db1", 1, true, 1)), at(1));
    b.on_own("db1", Some(lease("db1", 2, true, 1)), at(1));
    tell(&b, &mut c, "b", 2);
    tell(&a, &mut c, "a", 2);
    check(
        &c,
        2,
        expect![[r#"
        db1 at b live told seen 2
    "#]],
    );
    tell(&a, &mut b, "a", 2);
    tell(&b, &mut a, "b", 2);
    check(
        &a,
        2,
        expect![[r#"
        db1 at b live told seen 2
    "#]],
    );
    // The second one is given up: the first counts again, everywhere.
    b.on_own("db1", Some(lease("db1", 2, false, 3)), at(3));
    tell(&b, &mut c, "b", 4);
    tell(&b, &mut a, "b", 4);
    check(
        &c,
        4,
        expect![[r#"
        db1 at a live told seen 2
    "#]],
    );
    check(
        &a,
        4,
        expect![[r#"
        db1 at a live told seen 4
    "#]],
    );
    check(
        &b,
        4,
        expect![[r#"
        db1 at a live told seen 2
    "#]],
    );
}

#[test]
fn a_silent_aggregator_takes_no_host_along() {
    let (mut a, mut b, mut c) = (leases("a", 0), leases("b", 0), leases("c", 0));
    a.on_own("db1", Some(lease("db1", 1, true, 1)), at(1));
    a.on_own("db2", Some(lease("db2", 1, true, 1)), at(1));
    tell(&a, &mut b, "a", 10);
    check(
        &b,
        10,
        expect![[r#"
        db1 at a live told seen 10
        db2 at a live told seen 10
    "#]],
    );
    // One of them shows up at another aggregator, which is restarted meanwhile; nobody hears of the other one.
    c.on_own("db1", Some(lease("db1", 5, true, 20)), at(20));
    tell(&c, &mut b, "c", 21);
    check(
        &b,
        35,
        expect![[r#"
        db1 at c live aged seen 21
        db2 at a late aged seen 10
    "#]],
    );
    check(
        &b,
        65,
        expect![[r#"
        db1 at c late aged seen 21
        db2 at a lost aged seen 10
    "#]],
    );
    let mut again = leases("b", 70);
    again.restore(b.changes().hosts);
    check(
        &again,
        71,
        expect![[r#"
        db1 at c live aged seen 21
        db2 at a live aged seen 10
    "#]],
    );
}

#[test]
fn who_is_heard_by_another_one_is_alive_and_its_hosts_are_asked_for_there() {
    let (mut a, mut b, mut c) = (leases("a", 0), leases("b", 0), leases("c", 0));
    a.on_own("db1", Some(lease("db1", 1, true, 1)), at(1));
    tell(&a, &mut b, "a", 2);
    a.on_own("db2", Some(lease("db2", 1, true, 50)), at(50));
    tell(&a, &mut c, "a", 51);
    tell(&c, &mut b, "c", 52);
    // `b` does not hear `a` any more, `c` does.
    check(
        &b,
        52,
        expect![[r#"
        db1 at a live told seen 51
    "#]],
    );
    assert_eq!(b.relays(at(52)), [("c".to_owned(), "a".to_owned())]);
    tell(&c, &mut b, "a", 53);
    check(
        &b,
        53,
        expect![[r#"
        db1 at a live told seen 51
        db2 at a live told seen 51
    "#]],
    );
    assert!(tell(&c, &mut b, "a", 54).leases.is_empty(), "the same edition is not told again");
    // When it is heard again, the rest follows from there.
    a.on_own("db3", Some(lease("db3", 1, true, 55)), at(55));
    assert_eq!(tell(&a, &mut b, "a", 56).leases.len(), 1);
}

#[test]
fn what_an_aggregator_gives_up_stays_until_another_one_takes_it() {
    let (mut a, mut b, mut c) = (leases("a", 0), leases("b", 0), leases("c", 0));
    a.on_own("db1", Some(lease("db1", 1, true, 1)), at(1));
    tell(&a, &mut c, "a", 2);
    // The host moves to `b`; `a` hears of it first and strikes it.
    a.on_own("db1", Some(lease("db1", 1, false, 3)), at(3));
    b.on_own("db1", Some(lease("db1", 2, true, 3)), at(3));
    tell(&b, &mut a, "b", 4);
    let struck = tell(&a, &mut c, "a", 5);
    assert_eq!(struck.gone, ["db1"]);
    check(
        &c,
        6,
        expect![[r#"
        db1 at a live aged seen 5
    "#]],
    );
    tell(&b, &mut c, "b", 7);
    check(
        &c,
        7,
        expect![[r#"
        db1 at b live told seen 7
    "#]],
    );
}
