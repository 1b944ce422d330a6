//! Which aggregator to talk to, on virtual time.

use super::*;

fn ms(ms: u64) -> Mono {
    Mono(ms * 1_000)
}

fn roster(home: usize, away: usize) -> Vec<Datacenter> {
    let dc = |name: &str, count| Datacenter {
        name: name.into(),
        aggregators: (1..=count).map(|n| Aggregator::equal(format!("{name}{n}"))).collect(),
    };
    let away = (away > 0).then(|| dc("a", away));
    [dc("h", home)].into_iter().chain(away).collect()
}

/// No spread, so that a story can be told with exact times.
fn exact() -> Timing {
    Timing {
        lost_spread: Duration::ZERO,
        home_spread: Duration::ZERO,
        home_stable: Duration::from_secs(2),
        probe_every: Duration::from_secs(1),
        ..Timing::default()
    }
}

fn machine(home: usize, away: usize) -> Failover {
    let mut machine = Failover::new("db1", exact(), 1, ms(0));
    machine.on_resolved(ms(0), &roster(home, away));
    machine
}

/// All orders until `until`, with their times in ms. Nobody answers.
fn orders(machine: &mut Failover, from: u64, until: u64) -> Vec<String> {
    let mut said = Vec::new();
    let mut now = ms(from);
    loop {
        while let Some(order) = machine.next(now) {
            let text = match order {
                Order::Dial { attempt, aggregator, .. } => format!("dial {attempt} {aggregator}"),
                Order::Cancel { attempt } => format!("cancel {attempt}"),
                Order::Adopt { attempt } => format!("adopt {attempt}"),
                Order::Close { attempt, leave } => format!("close {attempt} {}", leave.name()),
                Order::Probe { probe, aggregator, .. } => format!("probe {probe} {aggregator}"),
                other => format!("{other:?}").to_lowercase(),
            };
            said.push(format!("{} {text}", now.0 / 1_000));
        }
        let wake = machine.wake_at(now);
        assert!(wake > now, "{machine:?}");
        if wake > ms(until) {
            return said;
        }
        now = wake;
    }
}

/// Live as attempt 1 at its first choice since 0.
fn live(home: usize, away: usize) -> Failover {
    let mut machine = machine(home, away);
    assert_eq!(orders(&mut machine, 0, 0).len(), 2);
    machine.on_dialled(ms(0), 1);
    machine.on_welcomed(ms(0), 1);
    assert_eq!(orders(&mut machine, 0, 0), ["0 adopt 1"]);
    machine
}

#[test]
fn the_second_choice_is_dialled_after_the_stagger_and_the_first_welcome_wins() {
    let mut machine = machine(2, 0);
    assert_eq!(orders(&mut machine, 0, 300), ["0 resolve", "0 dial 1 h1", "250 dial 2 h2"]);
    machine.on_dialled(ms(300), 2);
    machine.on_dialled(ms(300), 1);
    machine.on_welcomed(ms(310), 2);
    machine.on_welcomed(ms(310), 1);
    assert_eq!(orders(&mut machine, 310, 5_000), ["310 cancel 1", "310 adopt 2"]);
    assert_eq!(machine.live(), Some((0, "h2")));
    assert_eq!(machine.phase(), Phase::LiveHome);
}

#[test]
fn a_failure_calls_the_next_one_at_once() {
    let mut machine = machine(2, 0);
    orders(&mut machine, 0, 0);
    machine.on_lost(ms(10), 1, "refused");
    assert_eq!(orders(&mut machine, 10, 100), ["10 dial 2 h2"]);
    assert_eq!(machine.last_failure(), "refused");
}

#[test]
fn a_handshake_without_a_welcome_times_out() {
    let mut machine = machine(1, 0);
    orders(&mut machine, 0, 0);
    machine.on_dialled(ms(600), 1);
    assert_eq!(orders(&mut machine, 600, 10_000), ["10000 cancel 1"]);
    assert_eq!(machine.phase(), Phase::Backoff);
}

#[test]
fn away_only_when_each_was_tried_and_away_after_has_passed() {
    let mut silent = machine(2, 1);
    let said = orders(&mut silent, 0, 2_000);
    let expected = ["0 resolve", "0 dial 1 h1", "250 dial 2 h2", "1700 dial 3 a1"];
    assert_eq!(said, expected);

    let mut refused = machine(1, 1);
    orders(&mut refused, 0, 0);
    refused.on_lost(ms(10), 1, "refused");
    let said = orders(&mut refused, 10, 1_100);
    assert_eq!(said, ["260 dial 2 h1", "1010 dial 3 a1"]);
}

#[test]
fn suspicion_races_the_siblings_while_the_old_link_stays() {
    let mut machine = live(2, 1);
    machine.on_suspect(ms(20_000));
    assert_eq!(orders(&mut machine, 20_000, 20_000), ["20000 dial 2 h2"]);
    assert_eq!(machine.live(), Some((0, "h1")));
    machine.on_welcomed(ms(20_030), 2);
    let said = orders(&mut machine, 20_030, 20_030);
    assert_eq!(said, ["20030 adopt 2", "20030 close 1 suspected"]);
}

#[test]
fn an_old_link_that_speaks_again_first_is_kept() {
    let mut machine = live(2, 1);
    machine.on_suspect(ms(20_000));
    orders(&mut machine, 20_000, 20_000);
    machine.on_recovered(ms(20_010));
    assert_eq!(orders(&mut machine, 20_010, 30_000), ["20010 cancel 2"]);
    assert_eq!(machine.live(), Some((0, "h1")));
    assert_eq!(machine.counters().recovered, 1);
}

#[test]
fn with_nobody_else_the_suspected_link_stays_until_it_breaks() {
    let mut machine = live(1, 0);
    machine.on_suspect(ms(20_000));
    let said = orders(&mut machine, 20_000, 60_000);
    assert!(said.iter().filter(|s| s.contains("dial")).count() > 3, "{said:?}");
    assert_eq!(machine.live(), Some((0, "h1")));
    machine.on_lost(ms(60_000), 1, "idle timeout");
    assert_eq!(machine.live(), None);
}

#[test]
fn a_drain_quiesces_first_and_adopts_when_quiet_or_after_five_seconds() {
    for quiet in [true, false] {
        let mut machine = live(2, 0);
        machine.on_drain(ms(20_000), Duration::from_secs(30));
        assert_eq!(orders(&mut machine, 20_000, 20_000), ["20000 dial 2 h2"]);
        machine.on_welcomed(ms(20_005), 2);
        assert_eq!(orders(&mut machine, 20_005, 20_005), ["20005 quiesce"]);
        assert_eq!(machine.phase(), Phase::Drain);
        let at = if quiet { 20_010 } else { 25_005 };
        if quiet {
            machine.on_quiet(ms(20_010));
        }
        let said = orders(&mut machine, if quiet { at } else { 20_006 }, at);
        assert_eq!(said, [format!("{at} adopt 2"), format!("{at} close 1 drain")]);
        // It does not go back before it may.
        machine.on_lost(ms(35_100), 2, "closed");
        let said = orders(&mut machine, 35_100, 49_999);
        assert!(said.iter().all(|s| !s.ends_with("h1")), "{said:?}");
    }
}

#[test]
fn an_heir_that_dies_gives_the_old_link_back() {
    let mut machine = live(2, 1);
    machine.on_drain(ms(20_000), Duration::from_secs(30));
    orders(&mut machine, 20_000, 20_000);
    machine.on_welcomed(ms(20_005), 2);
    orders(&mut machine, 20_005, 20_005);
    machine.on_lost(ms(20_006), 2, "reset");
    let said = orders(&mut machine, 20_006, 20_006);
    assert_eq!(said, ["20006 resume", "20006 dial 3 h2"]);
    machine.on_welcomed(ms(20_010), 3);
    orders(&mut machine, 20_010, 20_010);
    machine.on_lost(ms(20_011), 1, "closed");
    assert_eq!(orders(&mut machine, 20_011, 20_011), ["20011 adopt 3"]);
}

/// Live away since `at` ms as attempt 3, home refused.
fn away(timing: Timing) -> (Failover, u64) {
    let mut machine = Failover::new("db1", timing, 1, ms(0));
    machine.on_resolved(ms(0), &roster(1, 1));
    orders(&mut machine, 0, 0);
    machine.on_lost(ms(10), 1, "refused");
    orders(&mut machine, 10, 1_010);
    machine.on_welcomed(ms(1_020), 3);
    assert_eq!(orders(&mut machine, 1_020, 1_020), ["1020 cancel 2", "1020 adopt 3"]);
    assert_eq!(machine.phase(), Phase::LiveAway);
    (machine, 1_020)
}

/// Answers probes until the machine dials; says when.
fn answer_probes(machine: &mut Failover, from: u64, until: u64) -> Option<(u64, u32)> {
    let mut now = ms(from);
    while now < ms(until) {
        while let Some(order) = machine.next(now) {
            match order {
                Order::Probe { probe, .. } => machine.on_probe_ok(now, probe),
                Order::Dial { attempt, .. } => return Some((now.0 / 1_000, attempt)),
                _ => {}
            }
        }
        now = machine.wake_at(now);
    }
    None
}

#[test]
fn home_is_come_home_to_when_it_answered_for_long_enough() {
    let (mut machine, since) = away(exact());
    let (at, attempt) = answer_probes(&mut machine, since, 60_000).expect("goes home");
    assert!((since + 2_500..since + 6_000).contains(&at), "{at}");
    machine.on_welcomed(ms(at + 1), attempt);
    machine.on_quiet(ms(at + 2));
    let said = orders(&mut machine, at + 2, at + 2);
    let now = at + 2;
    let expected = ["quiesce".into(), format!("adopt {attempt}"), "close 3 failback".into()];
    assert_eq!(said, expected.map(|order: String| format!("{now} {order}")));
    assert_eq!(machine.phase(), Phase::LiveHome);
}

#[test]
fn each_return_that_does_not_last_doubles_the_hold() {
    let (mut machine, mut now) = away(exact());
    let mut holds = Vec::new();
    for _ in 0..3 {
        let (at, attempt) = answer_probes(&mut machine, now, now + 120_000).expect("goes home");
        holds.push(at - now);
        machine.on_welcomed(ms(at), attempt);
        machine.on_quiet(ms(at));
        // Home lasts half a minute, then refuses; away answers.
        now = at + 30_000;
        machine.on_lost(ms(now), attempt, "reset");
        while machine.phase() != Phase::LiveAway {
            while let Some(order) = machine.next(ms(now)) {
                match order {
                    Order::Dial { attempt, datacenter: 0, .. } => {
                        machine.on_lost(ms(now), attempt, "refused");
                    }
                    Order::Dial { attempt, .. } => machine.on_welcomed(ms(now), attempt),
                    _ => {}
                }
            }
            now += 50;
        }
    }
    assert!(holds[1] >= 4_000 && holds[2] >= 8_000, "{holds:?}");
}

#[test]
fn a_probe_that_fails_asks_the_sibling_and_all_failing_starts_over() {
    let mut machine = Failover::new("db1", exact(), 1, ms(0));
    machine.on_resolved(ms(0), &roster(2, 1));
    orders(&mut machine, 0, 300);
    machine.on_lost(ms(300), 1, "refused");
    machine.on_lost(ms(300), 2, "refused");
    let said = orders(&mut machine, 300, 1_300);
    let dial = said.iter().find(|s| s.ends_with("a1")).expect("goes away");
    let attempt = dial.split(' ').nth(2).and_then(|n| n.parse().ok()).expect("a number");
    machine.on_welcomed(ms(1_310), attempt);
    let mut asked = Vec::new();
    let mut now = ms(1_310);
    while now < ms(20_000) {
        while let Some(order) = machine.next(now) {
            assert!(!matches!(order, Order::Dial { .. }), "it must not go home");
            if let Order::Probe { probe, aggregator, .. } = order {
                asked.push(aggregator);
                machine.on_probe_failed(now, probe);
            }
        }
        now = machine.wake_at(now);
    }
    assert!(asked.len() > 10);
    assert!(asked.chunks_exact(2).all(|pair| pair == ["h1", "h2"]), "{asked:?}");
}

#[test]
fn connections_that_do_not_last_are_not_hammered() {
    let mut machine = machine(2, 0);
    let (mut now, mut dials) = (ms(0), 0);
    while now < ms(600_000) {
        while let Some(order) = machine.next(now) {
            if let Order::Dial { attempt, .. } = order {
                dials += 1;
                machine.on_welcomed(now, attempt);
                machine.on_lost(now.after(Duration::from_millis(5)), attempt, "closed");
            }
        }
        now = machine.wake_at(now).max(now.after(Duration::from_millis(1)));
    }
    assert!((20..200).contains(&dials), "{dials} dials in ten minutes");
}

#[test]
fn an_old_connection_moves_to_a_better_ranked_sibling() {
    let mut machine = machine(2, 0);
    orders(&mut machine, 0, 300);
    machine.on_welcomed(ms(300), 2);
    orders(&mut machine, 300, 300);
    let twelve_hours = 12 * 3_600_000;
    let said = orders(&mut machine, 300, twelve_hours * 6 / 5);
    assert!(said[0].ends_with("dial 3 h1"), "{said:?}");
    assert!(machine.live() == Some((0, "h2")), "it stays while h1 does not answer");
}

/// Everybody says that it has no room, for as long as `full` says so of it; gives who was dialled.
fn all_refuse(machine: &mut Failover, until: u64) -> Vec<(u64, String)> {
    let (mut dialled, mut now) = (Vec::new(), ms(0));
    while now < ms(until) {
        while let Some(order) = machine.next(now) {
            if let Order::Dial { attempt, aggregator, .. } = order {
                dialled.push((now.0 / 1_000, aggregator));
                machine.on_busy(now, attempt);
            }
        }
        now = machine.wake_at(now);
    }
    dialled
}

#[test]
fn a_datacenter_without_room_is_not_left_and_not_hammered() {
    let mut machine = Failover::new("db1", exact(), 1, ms(0));
    machine.on_resolved(ms(0), &roster(2, 1));
    let dialled = all_refuse(&mut machine, 59_000);
    assert_eq!(dialled[0], (0, "h1".into()));
    assert_eq!(dialled[1], (0, "h2".into()), "its sibling is asked at once");
    assert!(dialled.iter().all(|(_, name)| name.starts_with('h')), "{dialled:?}");
    assert!((10..60).contains(&dialled.len()), "{} dials in a minute", dialled.len());
    assert_eq!(machine.counters().refused, dialled.len() as u64);
    let later = all_refuse(&mut machine, 90_000);
    assert!(later.iter().any(|(_, name)| name == "a1"), "not for ever: {later:?}");
}

/// A crowd makes everybody slow: each Welcome takes two seconds, whoever gives up before begins anew.
#[test]
fn a_late_answer_wins_and_the_late_one_is_not_dialled_again() {
    let mut machine = machine(2, 1);
    let (mut now, mut answers, mut dials) = (ms(0), Vec::new(), 0);
    while machine.phase() != Phase::LiveHome {
        assert!(now < ms(60_000), "never: {machine:?}");
        while let Some(order) = machine.next(now) {
            match order {
                Order::Dial { attempt, datacenter: 0, .. } => {
                    dials += 1;
                    answers.push((now.after(Duration::from_secs(2)), attempt));
                }
                Order::Cancel { attempt } => answers.retain(|(_, dialled)| *dialled != attempt),
                _ => {}
            }
        }
        now = answers.iter().map(|(at, _)| *at).fold(machine.wake_at(now), Mono::min);
        for (_, attempt) in answers.extract_if(.., |(at, _)| *at <= now) {
            machine.on_dialled(now, attempt);
            machine.on_welcomed(now, attempt);
        }
    }
    assert_eq!((now, dials), (ms(2_000), 2), "late is not lost, and nobody is dialled twice");
}

#[test]
fn the_one_that_has_room_again_is_found() {
    let mut machine = machine(1, 1);
    let Some(Order::Resolve) = machine.next(ms(0)) else { panic!("it resolves first") };
    let Some(Order::Dial { attempt, .. }) = machine.next(ms(0)) else { panic!("then dials") };
    machine.on_busy(ms(0), attempt);
    let said = orders(&mut machine, 0, 500);
    assert!(said[0].ends_with("dial 2 h1"), "{said:?}");
    machine.on_welcomed(ms(501), 2);
    assert_eq!((machine.phase(), machine.live()), (Phase::LiveHome, Some((0, "h1"))));
}

#[test]
fn a_new_roster_leaves_the_living_alone_unless_they_are_off_the_list() {
    let mut machine = machine(2, 0);
    orders(&mut machine, 0, 0);
    machine.on_welcomed(ms(10), 1);
    orders(&mut machine, 10, 10);
    let live = machine.live().map(|(_, name)| name.to_owned());
    assert_eq!(live.as_deref(), Some("h1"));
    machine.on_resolved(ms(20), &roster(3, 0));
    assert!(orders(&mut machine, 20, 3_600_000).is_empty(), "a longer list moves nobody");
    let mut without = roster(3, 0);
    without[0].aggregators.retain(|one| one.name != "h1");
    machine.on_resolved(ms(3_600_000), &without);
    let mut now = ms(3_600_000);
    let attempt = loop {
        match machine.next(now) {
            Some(Order::Dial { attempt, .. }) => break attempt,
            Some(other) => panic!("{other:?}"),
            None => now = machine.wake_at(now),
        }
    };
    assert!(now <= ms(3_660_000), "within a minute it goes");
    machine.on_welcomed(now, attempt);
    assert_eq!(machine.next(now), Some(Order::Quiesce), "politely");
}

#[test]
fn names_that_come_late_start_the_race_and_none_wait_for_ever() {
    let mut machine = Failover::new("db1", exact(), 1, ms(0));
    let said = orders(&mut machine, 0, 120_000);
    assert!(said.len() > 3 && said.iter().all(|s| s.ends_with("resolve")), "{said:?}");
    machine.on_resolved(ms(120_001), &roster(1, 0));
    assert_eq!(orders(&mut machine, 120_001, 120_001), ["120001 dial 1 h1"]);
}

#[test]
fn whatever_is_said_there_is_one_live_connection_and_a_next_time() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut machine = Failover::new("db1", exact(), seed, ms(0));
        let (mut now, mut welcomed, mut live) = (ms(0), Vec::new(), None);
        for _ in 0..600 {
            let attempt = machine.attempts.saturating_sub(rng.u32(0..4));
            match rng.u32(0..15) {
                0 => machine.on_resolved(now, &roster(rng.usize(0..3), rng.usize(0..3))),
                1 | 2 => machine.on_dialled(now, attempt),
                3..=5 => {
                    machine.on_welcomed(now, attempt);
                    welcomed.push(attempt);
                }
                6 => machine.on_lost(now, attempt, "closed"),
                7 => machine.on_suspect(now),
                8 => machine.on_recovered(now),
                9 => machine.on_drain(now, Duration::from_secs(rng.u64(0..10_000))),
                10 => machine.on_quiet(now),
                13 => machine.on_busy(now, attempt),
                11 => machine.on_probe_ok(now, machine.probes),
                12 => machine.on_probe_failed(now, machine.probes),
                _ => now = now.after(Duration::from_millis(rng.u64(0..3_000))),
            }
            for count in 0.. {
                assert!(count < 1_000, "seed {seed}: it never rests");
                match machine.next(now) {
                    None => break,
                    Some(Order::Adopt { attempt }) => {
                        assert!(welcomed.contains(&attempt), "seed {seed}: adopts a stranger");
                        live = Some(attempt);
                    }
                    Some(Order::Close { attempt, .. } | Order::Cancel { attempt }) => {
                        assert_ne!(Some(attempt), live, "seed {seed}: cuts its own branch");
                    }
                    Some(_) => {}
                }
            }
            assert!(machine.wake_at(now) > now, "seed {seed}: {machine:?}");
        }
    }
}

/// A machine that was suspended, or a process that was stopped: all timers are over at once.
#[test]
fn a_day_asleep_ends_in_a_few_orders_and_a_next_time() {
    let day = 86_400_000;
    let asleep: [(&str, Failover); 4] = [
        ("racing", machine(2, 2)),
        ("live", live(2, 2)),
        ("suspecting", {
            let mut machine = live(2, 2);
            machine.on_suspect(ms(100));
            machine
        }),
        ("in backoff", {
            let mut machine = machine(2, 0);
            orders(&mut machine, 0, 5_000);
            machine
        }),
    ];
    for (name, mut machine) in asleep {
        let said = orders(&mut machine, day, day);
        assert!(said.len() <= 6, "{name}: {said:?}");
        // An old connection that has no better sibling looks again when it is as old again.
        assert!(machine.wake_at(ms(day)) < ms(2 * day), "{name}: hangs");
    }
}
