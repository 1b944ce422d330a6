//! The happy path: control messages, lanes, questions, closing.

use bytes::Bytes;
use muster_proto::clock::Utc;
use muster_proto::control::{FromAgent, FromAggregator};
use muster_proto::frame::{BodyFacts, Kind, Sealer};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;

use super::*;

pub(super) fn frame(lane: Lane, seq: u64, raw: &[u8]) -> Bytes {
    let facts =
        BodyFacts { kind: Kind::Log, dict: 0, records: 1, first_at: Utc(1), last_at: Utc(2) };
    let sealed = Sealer::new().unwrap().seal(facts, raw).unwrap();
    let header = sealed.header(lane, StreamId([9; 16]), Seq(seq)).encode();
    [&header[..], &sealed.body].concat().into()
}

#[test]
fn both_sides_know_each_other_by_certificate() {
    run(async {
        let house = House::new();
        let (_post, dialer, dialled, accepted) = pair(&house).await;
        assert_eq!((dialled.peer().name.as_str(), dialled.peer().role), (AGG, Role::Aggregator));
        assert_eq!((accepted.peer().name.as_str(), accepted.peer().role), (HOST, Role::Agent));
        assert_eq!(accepted.peer().expires_at, Utc(T0.0 + 30 * DAY_US));
        assert!(accepted.remote_address().ip().is_loopback());
        assert_eq!(accepted.remote_address().port(), dialer.local_addr().unwrap().port());
        assert!(dialled.datagrams_received() > 0);
    });
}

#[test]
fn control_messages_go_both_ways_and_end() {
    run(async {
        let house = House::new();
        let (_post, _dialer, dialled, accepted) = pair(&house).await;
        let (mut tx, mut rx) = dialled.open_control().unwrap();
        assert!(dialled.open_control().is_err(), "there is one control stream");
        let bye = FromAgent::Bye { reason: "stop".to_owned() };
        tx.send(&bye).await.unwrap();
        let (mut their_tx, mut their_rx) = accepted.accept_control().await.unwrap();
        assert_eq!(their_rx.recv::<FromAgent>().await.unwrap(), Some(bye));
        for bytes in 0..1000 {
            their_tx.send(&FromAggregator::Credit { bytes }).await.unwrap();
        }
        their_tx.finish();
        for bytes in 0..1000 {
            let said = rx.recv::<FromAggregator>().await.unwrap();
            assert_eq!(said, Some(FromAggregator::Credit { bytes }));
        }
        assert_eq!(rx.recv::<FromAggregator>().await.unwrap(), None);
        let long = FromAgent::Bye { reason: "x".repeat(70_000) };
        assert!(matches!(tx.send(&long).await, Err(LinkError::TooLong { .. })));
        tx.send(&FromAgent::Bye { reason: "still fine".to_owned() }).await.unwrap();
    });
}

#[test]
fn lanes_carry_frames_byte_for_byte() {
    run(async {
        let house = House::new();
        let (_post, _dialer, dialled, accepted) = pair(&house).await;
        let mut random = fastrand::Rng::with_seed(3);
        let frames: Vec<Bytes> = (1..=60)
            .map(|seq| {
                let raw: Vec<u8> = (0..random.usize(..200_000)).map(|_| random.u8(..)).collect();
                frame(Lane::Logs, seq, &raw)
            })
            .collect();
        let sending = async {
            let mut tx = dialled.open_lane(Lane::Logs).await.unwrap();
            for frame in &frames {
                tx.write(frame.clone()).await.unwrap();
            }
            tx.finish();
            tx.finished().await.unwrap();
        };
        let receiving = async {
            let mut rx = accepted.accept_lane().await.unwrap();
            for (at, sent) in frames.iter().enumerate() {
                let got = rx.next().await.unwrap().unwrap();
                assert_eq!(got.header.seq, Seq(at as u64 + 1));
                assert!(got.bytes == *sent, "frame {at} differs");
            }
            assert_eq!(rx.lane(), Some(Lane::Logs));
            assert!(rx.next().await.unwrap().is_none());
        };
        tokio::join!(sending, receiving);
    });
}

#[test]
fn a_cancelled_receive_loses_nothing() {
    run(async {
        let house = House::new();
        let (_post, _dialer, dialled, accepted) = pair(&house).await;
        let mut random = fastrand::Rng::with_seed(4);
        let raw: Vec<u8> = (0..50_000).map(|_| random.u8(..)).collect();
        let sent = frame(Lane::State, 1, &raw);
        let mut tx = dialled.open_lane(Lane::State).await.unwrap();
        tx.write(sent.slice(..100)).await.unwrap();
        let mut rx = accepted.accept_lane().await.unwrap();
        let mut cancelled = 0;
        for part in 1.. {
            // Each turn gives up waiting as soon as there is nothing more to read.
            tokio::select! {
                biased;
                got = rx.next() => {
                    assert_eq!(got.unwrap().unwrap().bytes, sent);
                    break;
                }
                () = tokio::task::yield_now() => cancelled += 1,
            }
            let from = (100 * part).min(sent.len());
            let to = (from + 100).min(sent.len());
            if from < to {
                tx.write(sent.slice(from..to)).await.unwrap();
            }
        }
        assert!(cancelled > 100, "cancelled {cancelled} times only");
    });
}

#[test]
fn questions_are_answered_from_either_side_beside_the_control_stream() {
    run(async {
        let house = House::new();
        let (_post, _dialer, dialled, accepted) = pair(&house).await;
        let asking = async {
            assert_eq!(dialled.ask(b"how many").await.unwrap(), b"42");
            assert_eq!(dialled.ask(b"").await.unwrap(), b"");
            let refused = dialled.ask(b"and you").await.unwrap_err();
            assert_eq!(refused.to_string(), "the peer abandoned the stream (refused)");
            let long = dialled.ask(&vec![0; 65_537]).await.unwrap_err();
            assert_eq!(long.to_string(), "a question has 65537 bytes, over the limit of 65536");
            // The control stream has kept its place although it is used last.
            let (mut tx, _rx) = dialled.open_control().unwrap();
            tx.send(&1_u8).await.unwrap();
            let ask = dialled.accept_ask().await.unwrap();
            assert_eq!(ask.question, b"back");
            ask.reply("forth".as_bytes()).await.unwrap();
        };
        let answering = async {
            for answer in [&b"42"[..], b""] {
                let ask = accepted.accept_ask().await.unwrap();
                ask.reply(answer).await.unwrap();
            }
            drop(accepted.accept_ask().await.unwrap());
            let (_tx, mut rx) = accepted.accept_control().await.unwrap();
            assert_eq!(rx.recv::<u8>().await.unwrap(), Some(1));
            assert_eq!(accepted.ask(b"back").await.unwrap(), b"forth");
        };
        tokio::join!(asking, answering);
    });
}

#[test]
fn closing_says_why_on_the_other_side() {
    run(async {
        let house = House::new();
        let (post, _dialer, dialled, accepted) = pair(&house).await;
        assert_eq!(dialled.close_reason().map(|end| end.to_string()), None);
        let store_live = || accepted.0.quic.close_reason().is_none();
        assert!(store_live());
        post.listener.close(Close::Drain, "upgrade").await;
        assert_eq!(
            dialled.closed().await.to_string(),
            "the peer closed the connection (drain): upgrade"
        );
        let later = dialled.open_lane(Lane::Logs).await.map(drop).unwrap_err();
        assert_eq!(later.to_string(), "the peer closed the connection (drain): upgrade");
        assert!(post.listener.accept().await.is_none());
    });
}

#[test]
fn a_stopped_listener_refuses_newcomers_and_keeps_its_connections() {
    run(async {
        let house = House::new();
        let (post, dialer, dialled, accepted) = pair(&house).await;
        post.listener.stop();
        assert!(post.listener.accept().await.is_none());
        let refused = dialer.dial(post.addr, AGG).await.unwrap_err();
        assert_eq!(refused.to_string(), "the peer refuses new connections at the moment");
        let (answer, ()) = tokio::join!(dialled.ask(b"?"), async {
            accepted.accept_ask().await.unwrap().reply("!").await.unwrap();
        });
        assert_eq!(answer.unwrap(), b"!");
    });
}

#[test]
fn aggregators_ask_one_another_many_things_at_once() {
    run(async {
        let house = House::new();
        let post = Post::bind(&house.store(AGG, Role::Aggregator), small(Tuning::aggregator()));
        let other = house.store("agg2.example.org", Role::Aggregator);
        let dialer = Dialer::new(other, small(Tuning::peer())).unwrap();
        let (dialled, accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        let dialled = dialled.unwrap();
        // Both sides ask sixty things and answer only when all sixty have come.
        let asking = |connection: Connection| async move {
            let mut answers = tokio::task::JoinSet::new();
            for number in 0..60_u8 {
                let connection = connection.clone();
                answers.spawn(async move { (number, connection.ask(&[number]).await.unwrap()) });
            }
            for (number, answer) in answers.join_all().await {
                assert_eq!(answer, [number, number]);
            }
        };
        let answering = |connection: Connection| async move {
            let mut asks = Vec::new();
            while asks.len() < 60 {
                asks.push(connection.accept_ask().await.unwrap());
            }
            for ask in asks {
                let answer = [ask.question[0]; 2].to_vec();
                ask.reply(answer).await.unwrap();
            }
        };
        tokio::join!(
            asking(dialled.clone()),
            answering(dialled.clone()),
            asking(accepted.clone()),
            answering(accepted.clone()),
        );
    });
}

#[test]
fn the_last_handle_closes_the_connection_and_leaves_the_list() {
    run(async {
        let house = House::new();
        let store = house.store(AGG, Role::Aggregator);
        let post = Post::bind(&store, small(Tuning::aggregator()));
        let dialer = Dialer::new(house.store(HOST, Role::Agent), Tuning::agent()).unwrap();
        let (dialled, accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        let lane = dialled.as_ref().unwrap().open_lane(Lane::Logs).await.unwrap();
        assert_eq!(store.live(), 1);
        drop(dialled);
        assert!(accepted.close_reason().is_none(), "a lane keeps its connection");
        drop(lane);
        let end = accepted.closed().await;
        assert!(matches!(end, LinkError::Closed { close: Close::Normal, .. }), "{end}");
        drop(accepted);
        assert_eq!(store.live(), 0);
    });
}

#[test]
fn ipv6_and_several_listeners_on_one_port() {
    run(async {
        let house = House::new();
        let store = house.store(AGG, Role::Aggregator);
        let first = Post::bind_at("[::1]:0".parse().unwrap(), &store, small(Tuning::aggregator()));
        let second = Post::bind_at(first.addr, &store, small(Tuning::aggregator()));
        assert_eq!(first.addr, second.addr);
        let agent = house.store(HOST, Role::Agent);
        // The kernel spreads sources over the sockets: with 32 of them both get some.
        let mut taken = [0, 0];
        for _ in 0..32 {
            let dialer = Dialer::new(agent.clone(), Tuning::agent()).unwrap();
            let dial = dialer.dial(first.addr, AGG);
            let arrival = async {
                tokio::select! {
                    connection = first.peer() => (0, connection),
                    connection = second.peer() => (1, connection),
                }
            };
            let (dialled, (socket, _accepted)) = tokio::join!(dial, arrival);
            dialled.unwrap();
            taken[socket] += 1;
        }
        assert_eq!(taken[0] + taken[1], 32);
        assert!(taken[0] > 0 && taken[1] > 0, "{taken:?}");
    });
}

#[test]
fn buffers_are_reported_as_granted() {
    run(async {
        let house = House::new();
        let store = house.store(AGG, Role::Aggregator);
        let modest = Tuning {
            recv_buffer_bytes: 100_000,
            send_buffer_bytes: 100_000,
            ..Tuning::aggregator()
        };
        let post = Post::bind(&store, modest);
        let granted = post.listener.granted();
        assert!(!granted.short, "{granted:?}");
        assert!(granted.recv_bytes >= 100_000 && granted.send_bytes >= 100_000, "{granted:?}");
    });
}
