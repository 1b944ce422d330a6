//! The aggregator's half of the conversation, message by message.

use super::*;
use crate::clock::Utc;

const S: StreamId = StreamId([3; 16]);

fn hello(first_unacked: u64, last: u64) -> Hello {
    Hello {
        version: TALK_VERSION,
        host: "db1".into(),
        datacenter: "eqiad".into(),
        agent_version: "0".into(),
        probe: false,
        lanes: vec![LaneOffer {
            lane: Lane::Logs,
            stream: S,
            first_unacked: Seq(first_unacked),
            last: Seq(last),
        }],
        epoch: 0,
        turn: 0,
        roots: None,
    }
}

fn header(seq: u64) -> Header {
    Header {
        lane: Lane::Logs,
        kind: Kind::Log,
        stream: S,
        seq: Seq(seq),
        dict: 0,
        records: 1,
        raw_len: 1,
        body_len: 20,
        body_crc: 0,
        first_at: Utc(0),
        last_at: Utc(0),
    }
}

fn intake() -> Intake {
    Intake::new(Speaker { aggregator: "agg1".into(), datacenter: "eqiad".into() }, 1_000)
}

fn live(known: Known) -> Intake {
    let mut intake = intake();
    let greeting = intake.on_hello(&hello(1, 100), "db1", |_, _| known);
    assert!(matches!(greeting, Greeting::Welcome(_)), "{greeting:?}");
    intake
}

fn said(intake: &mut Intake) -> Vec<String> {
    std::iter::from_fn(|| intake.next())
        .map(|say| match say {
            FromAggregator::Ack { lane, seq, .. } => format!("ack {lane} {seq}"),
            other => format!("{other:?}"),
        })
        .collect()
}

#[track_caller]
fn check_refused(hello: &Hello, certificate: &str, known: Known, expected: &str) {
    let mut intake = intake();
    match intake.on_hello(hello, certificate, |_, _| known) {
        Greeting::Refused(why) => assert_eq!(why.to_string(), expected),
        other => panic!("{other:?}"),
    }
    assert_eq!(intake.on_frame(&header(1)), Verdict::Refused(Objection::NotWelcome));
}

#[test]
fn a_hello_that_does_not_fit_is_refused_with_a_sentence() {
    let fine = hello(1, 1);
    check_refused(
        &Hello { version: 9, ..fine.clone() },
        "db1",
        Known::New,
        "the agent speaks version 9 of the conversation, this aggregator 1",
    );
    check_refused(&fine, "web1", Known::New, "the certificate is for web1, the hello says db1");
    check_refused(
        &fine,
        "db1",
        Known::OtherHost,
        &format!("stream {S} of lane logs belongs to another host: was a spool copied?"),
    );
    for nonsense in [hello(0, 0), hello(3, 1)] {
        let text = "the hello's first unacked frame is not acceptable";
        check_refused(&nonsense, "db1", Known::New, text);
    }
    let mut twice = fine.clone();
    twice.lanes.push(twice.lanes[0]);
    check_refused(&twice, "db1", Known::New, "the hello's list of lanes is not acceptable");
    let long = Hello { datacenter: "x".repeat(NAME_BYTES_MAX + 1), ..fine };
    check_refused(&long, "db1", Known::New, "the hello's datacenter is not acceptable");
}

#[test]
fn the_name_is_compared_as_dns_does() {
    let greeting = intake().on_hello(&hello(1, 1), "DB1", |_, _| Known::New);
    assert!(matches!(greeting, Greeting::Welcome(_)));
}

#[test]
fn a_welcome_names_what_is_durable_and_nothing_else() {
    for (known, expected) in [(Known::New, vec![]), (Known::Durable(Seq(7)), vec![Seq(7)])] {
        let Greeting::Welcome(w) = intake().on_hello(&hello(1, 9), "db1", |_, _| known) else {
            panic!()
        };
        assert_eq!(w.known.iter().map(|k| k.durable).collect::<Vec<_>>(), expected);
        assert_eq!(w.credit_bytes, 1_000);
    }
}

#[test]
fn a_probe_is_answered_and_brings_no_frames() {
    let mut intake = intake();
    let probe = Hello { probe: true, ..hello(1, 1) };
    assert!(matches!(intake.on_hello(&probe, "db1", |_, _| Known::New), Greeting::Welcome(_)));
    assert_eq!(intake.on_frame(&header(1)), Verdict::Refused(Objection::NotWelcome));
}

#[test]
fn a_second_hello_is_refused() {
    let mut intake = live(Known::New);
    let again = intake.on_hello(&hello(1, 1), "db1", |_, _| Known::New);
    assert_eq!(again, Greeting::Refused(Refusal::Again));
}

#[test]
fn acks_follow_the_sync_not_the_arrival_and_are_coalesced() {
    let mut intake = live(Known::New);
    for seq in 1..=3 {
        assert_eq!(intake.on_frame(&header(seq)), Verdict::Store);
    }
    assert!(said(&mut intake).is_empty());
    assert_eq!(intake.held_bytes(), 300);
    for seq in 1..=2 {
        intake.on_stored(Lane::Logs, S, Seq(seq));
    }
    assert_eq!(said(&mut intake), ["ack logs 2"]);
    assert_eq!(intake.held_bytes(), 100);
    intake.on_stored(Lane::State, S, Seq(3));
    assert!(said(&mut intake).is_empty());
}

#[test]
fn repeats_are_acked_again_and_jumps_are_counted() {
    let mut intake = live(Known::Durable(Seq(5)));
    assert_eq!(intake.on_frame(&header(4)), Verdict::Repeat);
    assert_eq!(said(&mut intake), ["ack logs 5"]);
    assert_eq!(intake.on_frame(&header(6)), Verdict::Store);
    assert_eq!(intake.counters().jumped, 0);
    assert_eq!(intake.on_frame(&header(10)), Verdict::Store);
    assert_eq!(intake.on_frame(&header(10)), Verdict::Repeat);
    let counted = intake.counters();
    assert_eq!((counted.frames, counted.repeats, counted.jumped), (2, 2, 3));
}

#[test]
fn a_start_in_the_middle_is_not_a_jump() {
    let mut intake = intake();
    intake.on_hello(&hello(50, 90), "db1", |_, _| Known::New);
    assert_eq!(intake.on_frame(&header(50)), Verdict::Store);
    assert_eq!(intake.counters().jumped, 0);
}

#[test]
fn frames_that_do_not_belong_are_refused_and_end_it() {
    let cases: [(Header, &str); 5] = [
        (
            Header { lane: Lane::Bulk, kind: Kind::Bulk, ..header(6) },
            "a frame came on lane bulk, which the hello did not offer",
        ),
        (
            Header { stream: StreamId([9; 16]), ..header(6) },
            "a frame on lane logs is of stream 09090909090909090909090909090909, which the hello did not offer",
        ),
        (Header { kind: Kind::State, ..header(6) }, "a State frame came on lane logs"),
        (header(4), "frame 4 came on lane logs after frame 5"),
        (header(0), "frame 0 came on lane logs after frame 5"),
    ];
    for (bad, expected) in cases {
        let mut intake = live(Known::New);
        assert_eq!(intake.on_frame(&header(5)), Verdict::Store);
        let Verdict::Refused(why) = intake.on_frame(&bad) else { panic!("{bad:?}") };
        assert_eq!(why.to_string(), expected);
        assert_eq!(intake.on_frame(&header(6)), Verdict::Refused(Objection::NotWelcome));
    }
}

#[test]
fn dicts_stand_outside_the_sequence() {
    let mut hello = hello(1, 1);
    hello.lanes[0].lane = Lane::Metrics;
    let mut intake = intake();
    intake.on_hello(&hello, "db1", |_, _| Known::Durable(Seq(100)));
    let dict = Header { lane: Lane::Metrics, kind: Kind::Dict, ..header(3) };
    assert_eq!(intake.on_frame(&dict), Verdict::Store);
    assert_eq!(intake.on_frame(&dict), Verdict::Store);
    let scrape = Header { lane: Lane::Metrics, kind: Kind::Metric, ..header(2) };
    assert_eq!(intake.on_frame(&scrape), Verdict::Repeat);
}

#[test]
fn credit_bounds_what_is_held_and_never_what_was_promised_before() {
    let mut intake = live(Known::New);
    intake.grant(0);
    assert_eq!(said(&mut intake), ["Credit { bytes: 0 }"]);
    intake.grant(0);
    assert!(said(&mut intake).is_empty());
    assert_eq!(intake.on_frame(&header(1)), Verdict::Store, "it was under way");
    let big = |seq| Header { body_len: 1 << 20, ..header(seq) };
    assert_eq!(intake.on_frame(&big(2)), Verdict::Store, "1000 + one frame");
    let Verdict::Refused(why) = intake.on_frame(&big(3)) else { panic!() };
    assert_eq!(why.to_string(), "2097412 bytes are under way, the credit was 1000");
}

#[test]
fn a_drain_is_said_once_and_refuses_later_hellos() {
    let mut going = live(Known::New);
    going.drain("stop", Duration::from_secs(60));
    assert_eq!(said(&mut going), ["Drain { reason: \"stop\", retry_after_ms: 60000 }"]);
    assert_eq!(going.on_frame(&header(1)), Verdict::Store, "what is under way is still taken");
    let mut late = intake();
    late.drain("stop", Duration::ZERO);
    let Greeting::Refused(why) = late.on_hello(&hello(1, 1), "db1", |_, _| Known::New) else {
        panic!()
    };
    assert_eq!(why.to_string(), "the aggregator is going away: stop");
}
