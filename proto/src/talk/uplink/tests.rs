//! The agent's half of the conversation, message by message.

use super::*;
use crate::control::LaneKnown;

const LOGS: StreamId = StreamId([3; 16]);
const STATE: StreamId = StreamId([1; 16]);

fn ms(ms: u64) -> Mono {
    Mono(ms * 1_000)
}

fn uplink(durable: u64) -> Uplink {
    let speaker =
        Speaker { host: "db1".into(), datacenter: "eqiad".into(), agent_version: "0".into() };
    let start = |lane, stream, durable| LaneStart { lane, stream, acked: Seq(0), durable };
    let lanes = [start(Lane::Logs, LOGS, Seq(durable)), start(Lane::State, STATE, Seq(0))];
    Uplink::new(speaker, Timing::default(), &lanes)
}

fn welcome(known: &[(Lane, StreamId, u64)], credit_bytes: u64) -> Welcome {
    let known =
        known.iter().map(|&(lane, stream, seq)| LaneKnown { lane, stream, durable: Seq(seq) });
    Welcome { aggregator: "a".into(), datacenter: "d".into(), known: known.collect(), credit_bytes }
}

/// Every frame is `frame_bytes` long; takes all orders and obeys them. Returns them as text.
fn obey(up: &mut Uplink, now: Mono, frame_bytes: u64) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(order) = up.next(now) {
        said.push(match order {
            Order::Send { life, lane, from, bytes_max } => {
                let last = up.hello(false).lanes.iter().find(|l| l.lane == lane).unwrap().last;
                let (mut seq, mut left) = (from, bytes_max);
                while seq <= last && frame_bytes <= left {
                    up.on_sent(now, Sent { life, lane, seq, bytes: frame_bytes });
                    left -= frame_bytes;
                    seq = seq.next();
                }
                up.on_send_done(now, life, lane, if seq <= last { frame_bytes } else { 0 });
                format!("{lane} {from}..{seq}")
            }
            Order::Release { lane, upto } => format!("release {lane} {upto}"),
            other => format!("{other:?}"),
        });
    }
    said
}

#[test]
fn goes_on_after_what_the_aggregator_has_and_releases_that() {
    let mut up = uplink(10);
    up.on_welcome(ms(0), &welcome(&[(Lane::Logs, LOGS, 4)], 1 << 20));
    assert_eq!(obey(&mut up, ms(0), 100), ["release logs 4", "logs 5..11"]);
    up.on_ack(ms(1), Lane::Logs, LOGS, Seq(7));
    assert_eq!(obey(&mut up, ms(1), 100), ["release logs 7"]);
    assert_eq!(up.in_flight_bytes(), 300);
}

#[test]
fn starts_at_the_first_unacked_where_nobody_knows_the_stream() {
    let mut up = uplink(10);
    up.on_welcome(ms(0), &welcome(&[(Lane::Logs, LOGS, 4)], 1 << 20));
    obey(&mut up, ms(0), 100);
    up.on_welcome(ms(5), &welcome(&[], 1 << 20));
    assert_eq!(obey(&mut up, ms(5), 100), ["logs 5..11"]);
}

#[test]
fn believes_no_ack_for_what_it_never_sent() {
    let mut up = uplink(10);
    up.on_ack(ms(0), Lane::Logs, LOGS, Seq(1));
    up.on_welcome(ms(0), &welcome(&[], 250));
    assert_eq!(obey(&mut up, ms(0), 100), ["logs 1..3"]);
    up.on_ack(ms(1), Lane::Logs, LOGS, Seq(3));
    up.on_ack(ms(1), Lane::Logs, STATE, Seq(1));
    up.on_ack(ms(1), Lane::Bulk, LOGS, Seq(1));
    assert!(obey(&mut up, ms(1), 100).is_empty());
    let counted = up.counters();
    assert_eq!((counted.acks_ahead, counted.acks_foreign, counted.acks_stray), (1, 2, 1));
}

#[test]
fn a_spool_that_went_back_in_time_sends_nothing() {
    let mut up = uplink(10);
    up.on_welcome(ms(0), &welcome(&[(Lane::Logs, LOGS, 11)], 1 << 20));
    assert_eq!(obey(&mut up, ms(0), 100), ["Forked { lane: Logs, durable: Seq(10) }"]);
    assert_eq!(up.acked(Lane::Logs), Seq(0));
}

#[test]
fn a_report_of_an_earlier_life_moves_nothing() {
    let mut up = uplink(10);
    up.on_welcome(ms(0), &welcome(&[], 1 << 20));
    let Some(Order::Send { life, lane, .. }) = up.next(ms(0)) else { panic!() };
    up.on_welcome(ms(1), &welcome(&[], 1 << 20));
    up.on_sent(ms(1), Sent { life, lane, seq: Seq(1), bytes: 100 });
    up.on_send_done(ms(1), life, lane, 0);
    assert_eq!(obey(&mut up, ms(1), 100), ["logs 1..11"]);
    assert_eq!(up.counters().sent_stray, 1);
}

#[test]
fn the_window_is_kept_and_a_frame_longer_than_it_goes_alone() {
    let mut up = uplink(3);
    up.on_welcome(ms(0), &welcome(&[], 1_000));
    assert_eq!(obey(&mut up, ms(0), 5_000), ["logs 1..1", "logs 1..2"]);
    assert_eq!(up.in_flight_bytes(), 5_000);
    up.on_ack(ms(1), Lane::Logs, LOGS, Seq(1));
    up.on_credit(0);
    assert_eq!(obey(&mut up, ms(1), 5_000), ["release logs 1"]);
    up.on_credit(1_000);
    assert_eq!(obey(&mut up, ms(1), 5_000), ["logs 2..3"]);
}

#[test]
fn a_log_flood_leaves_room_for_state() {
    let mut up = uplink(1_000_000);
    up.on_welcome(ms(0), &welcome(&[], u64::MAX));
    obey(&mut up, ms(0), 100_000);
    assert!(up.in_flight_bytes() <= IN_FLIGHT_BYTES_MAX - IN_FLIGHT_BYTES_MAX / STATE_SHARE);
    up.on_durable(Lane::State, Seq(1));
    assert_eq!(obey(&mut up, ms(0), 100_000), ["state 1..2"]);
    assert!(up.in_flight_bytes() <= IN_FLIGHT_BYTES_MAX);
}

#[test]
fn two_clocks_run_while_data_is_unacked() {
    let mut up = uplink(1);
    up.on_welcome(ms(0), &welcome(&[], 1 << 20));
    assert_eq!(up.wake_at(), None);
    obey(&mut up, ms(0), 100);
    let said: Vec<_> = (1..=6).flat_map(|i| obey(&mut up, ms(i * 100), 100)).collect();
    assert_eq!(said, ["Nudge", "Suspect(Silent)"]);
    up.on_rx(ms(610));
    assert_eq!(obey(&mut up, ms(610), 100), ["Recovered"]);
    let mut said = Vec::new();
    for at in 7..=110 {
        up.on_rx(ms(at * 100));
        said.extend(obey(&mut up, ms(at * 100), 100));
    }
    assert_eq!(said, ["Suspect(Stuck)"]);
    up.on_ack(ms(11_010), Lane::Logs, LOGS, Seq(1));
    assert_eq!(obey(&mut up, ms(11_010), 100), ["release logs 1", "Recovered"]);
    assert_eq!(up.wake_at(), None);
}

#[test]
fn a_lane_that_is_stuck_is_noticed_although_another_moves() {
    let mut up = uplink(1);
    up.on_welcome(ms(0), &welcome(&[], 1 << 20));
    obey(&mut up, ms(0), 100);
    let mut said = Vec::new();
    for second in 1..=11 {
        up.on_durable(Lane::State, Seq(second));
        for tenth in 0..10 {
            let now = ms(second * 1_000 + tenth * 100);
            up.on_rx(now);
            said.extend(obey(&mut up, now, 100));
        }
        up.on_ack(ms(second * 1_000 + 950), Lane::State, STATE, Seq(second));
    }
    said.retain(|word| word.starts_with("Suspect") || word == "Recovered");
    assert_eq!(said, ["Suspect(Stuck)"], "an ack of the state lane changes nothing");
    up.on_ack(ms(12_000), Lane::Logs, LOGS, Seq(1));
    assert!(obey(&mut up, ms(12_000), 100).contains(&"Recovered".to_owned()));
}

#[test]
fn our_own_sleep_is_not_the_peers_silence() {
    let mut up = uplink(1);
    up.on_welcome(ms(0), &welcome(&[], 1 << 20));
    obey(&mut up, ms(0), 100);
    assert!(obey(&mut up, ms(20_000), 100).is_empty(), "20 s asleep");
    let said: Vec<_> = (1..=5).flat_map(|i| obey(&mut up, ms(20_000 + i * 100), 100)).collect();
    assert_eq!(said, ["Nudge", "Suspect(Silent)"]);
}

#[test]
fn holes_are_passed_when_everything_before_them_is_acked() {
    let mut up = uplink(5);
    up.on_welcome(ms(0), &welcome(&[], 1 << 20));
    let Some(Order::Send { life, lane, .. }) = up.next(ms(0)) else { panic!() };
    up.on_sent(ms(0), Sent { life, lane, seq: Seq(1), bytes: 9 });
    up.on_missing(lane, Seq(2), Seq(5));
    up.on_send_done(ms(0), life, lane, 0);
    assert!(obey(&mut up, ms(0), 9).is_empty());
    assert_eq!(up.acked(lane), Seq(0));
    up.on_ack(ms(1), lane, LOGS, Seq(1));
    assert_eq!(obey(&mut up, ms(1), 9), ["release logs 5"]);
}

#[test]
fn dropped_frames_are_neither_released_nor_sent() {
    let mut up = uplink(5);
    up.on_dropped(Lane::Logs, Seq(3));
    up.on_welcome(ms(0), &welcome(&[(Lane::Logs, LOGS, 1)], 1 << 20));
    assert_eq!(obey(&mut up, ms(0), 9), ["logs 4..6"]);
}

#[test]
fn a_spool_that_gives_nothing_is_asked_again_later() {
    let mut up = uplink(5);
    up.on_welcome(ms(0), &welcome(&[], 1 << 20));
    let Some(Order::Send { life, lane, .. }) = up.next(ms(0)) else { panic!() };
    up.on_send_done(ms(0), life, lane, 0);
    assert_eq!(up.next(ms(0)), None);
    assert_eq!(up.wake_at(), Some(ms(100)));
    assert!(matches!(up.next(ms(100)), Some(Order::Send { .. })));
}

#[test]
fn a_drain_lets_what_is_under_way_finish() {
    let mut up = uplink(1);
    up.on_welcome(ms(0), &welcome(&[], 1 << 20));
    obey(&mut up, ms(0), 9);
    up.on_drain();
    up.on_durable(Lane::Logs, Seq(2));
    assert!(obey(&mut up, ms(1), 9).is_empty());
    assert!(!up.is_quiet());
    up.on_ack(ms(2), Lane::Logs, LOGS, Seq(1));
    assert!(up.is_quiet());
    up.on_resume();
    assert_eq!(obey(&mut up, ms(3), 9), ["release logs 1", "logs 2..3"]);
}

#[test]
fn a_frame_that_is_dropped_while_its_turn_is_on_still_fills_the_window() {
    let mut up = uplink(5);
    up.on_welcome(ms(0), &welcome(&[], 1_000));
    let Some(Order::Send { life, lane, .. }) = up.next(ms(0)) else { panic!() };
    up.on_dropped(lane, Seq(3));
    for seq in 1..=2 {
        up.on_sent(ms(0), Sent { life, lane, seq: Seq(seq), bytes: 400 });
    }
    up.on_send_done(ms(0), life, lane, 0);
    assert_eq!(up.in_flight_bytes(), 800);
    assert_eq!(obey(&mut up, ms(0), 400), ["logs 4..4"]);
    up.on_ack(ms(1), lane, LOGS, Seq(2));
    assert_eq!(obey(&mut up, ms(1), 400), ["logs 4..6"]);
}

#[test]
fn a_hostile_aggregator_releases_nothing_that_was_not_sent_or_known() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut up = uplink(0);
        let (mut now, mut durable, mut believable) = (0, 0, 0);
        for _ in 0..400 {
            now += rng.u64(0..300);
            let stream = if rng.bool() { LOGS } else { STATE };
            match rng.u32(0..10) {
                0 => {
                    let known = rng.u64(0..durable + 5);
                    up.on_welcome(ms(now), &welcome(&[(Lane::Logs, LOGS, known)], rng.u64(..)));
                    believable = believable.max(if known <= durable { known } else { 0 });
                }
                1..=3 => up.on_ack(ms(now), Lane::Logs, stream, Seq(rng.u64(0..durable + 9))),
                4 => up.on_ack(ms(now), Lane::Logs, stream, Seq(u64::MAX)),
                5 => up.on_credit(rng.u64(0..5_000)),
                6 => up.on_rx(ms(now)),
                7 => up.on_disconnected(ms(now)),
                _ => {
                    durable += rng.u64(0..4);
                    up.on_durable(Lane::Logs, Seq(durable));
                }
            }
            for said in obey(&mut up, ms(now), 100) {
                if let Some(range) = said.strip_prefix("logs ") {
                    let after: u64 = range.split("..").nth(1).unwrap().parse().unwrap();
                    believable = believable.max(after - 1);
                } else if let Some(upto) = said.strip_prefix("release logs ") {
                    assert!(upto.parse::<u64>().unwrap() <= believable, "seed {seed}: {said}");
                }
            }
            assert!(up.in_flight_bytes() <= IN_FLIGHT_BYTES_MAX);
        }
    }
}

#[test]
fn the_length_of_a_dropped_frame_is_not_its_successors() {
    let mut up = uplink(5);
    up.on_welcome(ms(0), &welcome(&[], 1_000));
    let Some(Order::Send { life, lane, .. }) = up.next(ms(0)) else { panic!() };
    up.on_dropped(lane, Seq(1));
    up.on_send_done(ms(0), life, lane, 900_000);
    let Some(Order::Send { from, bytes_max, .. }) = up.next(ms(0)) else { panic!() };
    assert_eq!((from, bytes_max), (Seq(2), 875));
}
