//! Peers that mean harm: nothing panics, nothing hangs, nobody else notices.

use std::net::UdpSocket;

use bytes::Bytes;
use muster_proto::control::FromAgent;
use muster_proto::frame::Header;
use muster_proto::lane::Lane;

use super::talking::frame;
use super::*;

/// One question and its answer: the listener still serves.
async fn check_alive(dialled: &Connection, accepted: &Connection) {
    let (answer, ()) = tokio::join!(dialled.ask(b"?"), async {
        accepted.accept_ask().await.unwrap().reply("!").await.unwrap();
    });
    assert_eq!(answer.unwrap(), b"!");
}

#[test]
fn noise_on_the_udp_port() {
    run(async {
        let house = House::new();
        let (post, dialer, dialled, accepted) = pair(&house).await;
        let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        for turn in 0..20_000 {
            let mut bytes: Vec<u8> = (0..random.usize(..1400)).map(|_| random.u8(..)).collect();
            // Half of them look like long headers of QUIC version 1.
            if let (Some(head), 0) = (bytes.first_chunk_mut::<6>(), turn % 2) {
                *head = [head[0] | 0xc0, 0, 0, 0, 1, 8];
            }
            let _ = noise.send_to(&bytes, post.addr);
            if turn % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
        check_alive(&dialled, &accepted).await;
        let (again, _accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        again.unwrap();
    });
}

/// Sends `bytes` on the control stream and expects these words where they are received.
#[track_caller]
fn check_control(bytes: Vec<u8>, expected: &str) {
    run(async {
        let house = House::new();
        let (_post, _dialer, dialled, accepted) = pair(&house).await;
        let (mut tx, _rx) = dialled.open_control().unwrap();
        tx.write_raw(&bytes).await.unwrap();
        tx.finish();
        let (_tx, mut rx) = accepted.accept_control().await.unwrap();
        let found = match rx.recv::<FromAgent>().await {
            Ok(message) => format!("{message:?}"),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{found}");
    });
}

#[test]
fn control_lengths_are_not_believed() {
    check_control(
        u32::MAX.to_le_bytes().to_vec(),
        "the peer broke the protocol: a control message of 4294967295 bytes, over 65536",
    );
    check_control(
        vec![10, 0, 0, 0, 1],
        "the peer broke the protocol: a stream ends inside a message",
    );
    check_control(vec![1], "the peer broke the protocol: a stream ends inside a message");
    check_control(vec![], "None");
    check_control(
        vec![0, 0, 0, 0],
        "the peer broke the protocol: a message is refused: document is cut short",
    );
}

#[test]
fn control_depth_is_limited() {
    let mut deep = 60_001_u32.to_le_bytes().to_vec();
    deep.extend(std::iter::repeat_n(0x81, 60_000));
    deep.push(0);
    check_control(
        deep,
        "the peer broke the protocol: a message is refused: document is nested deeper than 16",
    );
    // {"Renew": {"csr": bytes of a length that is only announced}}
    let mut huge = b"\xa1\x65Renew\xa1\x63csr\x5b\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec();
    let len = u32::try_from(huge.len()).unwrap().to_le_bytes();
    huge.splice(0..0, len);
    check_control(huge, "the peer broke the protocol: a message is refused: document is cut short");
}

/// Sends `bytes` on a lane and expects these words where they are received.
#[track_caller]
fn check_lane(bytes: Vec<u8>, expected: &str) {
    run(async {
        let house = House::new();
        let (_post, _dialer, dialled, accepted) = pair(&house).await;
        let mut tx = dialled.open_lane(Lane::Logs).await.unwrap();
        tx.write(bytes.into()).await.unwrap();
        tx.finish();
        let mut rx = accepted.accept_lane().await.unwrap();
        let found = loop {
            match rx.next().await {
                Ok(Some(_)) => {}
                Ok(None) => break "the end".to_owned(),
                Err(LinkError::Frame(error)) => break error.to_string(),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(found, expected);
        check_alive(&dialled, &accepted).await;
    });
}

#[test]
fn lanes_take_frames_only() {
    let good = frame(Lane::Logs, 1, b"line");
    check_lane(good.to_vec(), "the end");
    check_lane(vec![0; 200], "frame does not begin with the magic");
    check_lane(good[..79].to_vec(), "the peer broke the protocol: a stream ends inside a message");
    check_lane(good[..82].to_vec(), "the peer broke the protocol: a stream ends inside a message");
    let mut flipped = good.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    check_lane(flipped, "frame body checksum is wrong");
    let two_lanes = [&good[..], &frame(Lane::State, 2, b"x")].concat();
    check_lane(two_lanes, "the peer broke the protocol: a lane changes its name");
    let mut huge = Header::parse(&good).unwrap();
    huge.body_len = u32::MAX;
    let words = "frame field body_len is 4294967295, over the limit of 1048576";
    check_lane(huge.encode().to_vec(), words);
}

#[test]
fn noise_on_every_stream_ends_that_stream_only() {
    run(async {
        let house = House::new();
        let (_post, _dialer, dialled, accepted) = pair(&house).await;
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..200 {
            let noise: Vec<u8> = (0..random.usize(1..5000)).map(|_| random.u8(..)).collect();
            let mut tx = dialled.open_lane(Lane::Logs).await.unwrap();
            tx.write(Bytes::from(noise)).await.unwrap();
            tx.finish();
            let mut rx = accepted.accept_lane().await.unwrap();
            assert!(rx.next().await.is_err());
        }
        // The same as questions: each is abandoned, a good one gets through.
        let noisy = async {
            for _ in 0..50 {
                let (mut send, mut recv) = dialled.0.quic.open_bi().await.unwrap();
                let noise: Vec<u8> = (0..random.usize(1..100)).map(|_| random.u8(..)).collect();
                send.write_all(&noise).await.unwrap();
                let _ = send.finish();
                assert!(recv.read_to_end(10).await.is_err());
            }
            assert_eq!(dialled.ask(b"?").await.unwrap(), b"!");
        };
        let answering = async {
            accepted.accept_ask().await.unwrap().reply("!").await.unwrap();
        };
        tokio::join!(noisy, answering);
    });
}

#[test]
fn a_flood_of_tiny_frames_leaves_room_for_others() {
    run(async {
        let house = House::new();
        let (post, _dialer, flooder, flooded) = pair(&house).await;
        let other =
            Dialer::new(house.store("web1.example.org", Role::Agent), Tuning::agent()).unwrap();
        let (calm, calm_accepted) = tokio::join!(other.dial(post.addr, AGG), post.peer());
        let calm = calm.unwrap();

        const FRAMES: u64 = 200_000;
        let one = frame(Lane::Logs, 1, b"");
        let batch: Bytes = one.repeat(500).into();
        let flood = tokio::spawn(async move {
            let mut tx = flooder.open_lane(Lane::Logs).await.unwrap();
            for _ in 0..FRAMES / 500 {
                tx.write(batch.clone()).await.unwrap();
            }
            tx.finish();
            tx.finished().await.unwrap();
        });
        let intake = tokio::spawn(async move {
            let mut rx = flooded.accept_lane().await.unwrap();
            let mut frames = 0;
            while rx.next().await.unwrap().is_some() {
                frames += 1;
            }
            frames
        });
        let mut round_trips = 0;
        while !intake.is_finished() {
            check_alive(&calm, &calm_accepted).await;
            round_trips += 1;
        }
        assert_eq!(intake.await.unwrap(), FRAMES);
        flood.await.unwrap();
        assert!(round_trips >= 20, "only {round_trips} round trips beside {FRAMES} frames");
    });
}

#[test]
fn handshakes_that_never_finish_stop_nobody() {
    run(async {
        let house = House::new();
        let few = Tuning { handshakes_max: 64, ..small(Tuning::aggregator()) };
        let post = Post::bind(&house.store(AGG, Role::Aggregator), few);
        // A relay passes first packets on and swallows every answer.
        let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let relayed = relay.local_addr().unwrap();
        let agent = house.store(HOST, Role::Agent);
        let stuck = Dialer::new(agent.clone(), Tuning::agent()).unwrap();
        let outside = UdpSocket::bind("127.0.0.1:0").unwrap();
        let passing = async {
            let mut packet = [0; 2000];
            loop {
                let (len, from) = relay.recv_from(&mut packet).await.unwrap();
                if from != post.addr {
                    outside.send_to(&packet[..len], post.addr).unwrap();
                }
            }
        };
        let stuck_dials = async {
            let mut dials = tokio::task::JoinSet::new();
            let stuck = Arc::new(stuck);
            for _ in 0..200 {
                let stuck = stuck.clone();
                dials.spawn(async move { stuck.dial(relayed, AGG).await.map(drop) });
            }
            while let Some(end) = dials.join_next().await {
                end.unwrap().unwrap_err();
            }
        };
        let good = async {
            // The newcomers' half of the places fills up with handshakes that cannot go on.
            while post.listener.counts().unfinished < 32 {
                tokio::task::yield_now().await;
            }
            let dialer = Dialer::new(agent.clone(), Tuning::agent()).unwrap();
            let (dialled, accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
            check_alive(&dialled.unwrap(), &accepted).await;
            assert!(post.listener.counts().unfinished >= 32);
        };
        tokio::select! {
            () = good => {}
            () = passing => {}
            () = stuck_dials => panic!("the stuck dials ended first"),
        }
    });
}
