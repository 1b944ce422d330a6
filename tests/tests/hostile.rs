//! Clients that mean harm, against a real aggregator with a good agent beside them: whatever they do, the
//! aggregator lives, its memory is bounded, and the good agent's next line is found within seconds.
//!
//! Each case has a rig of its own, one after another.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::net::UdpSocket;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_link::{Connection, ControlRx, ControlTx, Dialer, IdentityStore, LaneTx, Tuning};
use muster_proto::clock::Utc;
use muster_proto::control::{FromAgent, FromAggregator, Hello, LaneOffer, TALK_VERSION};
use muster_proto::frame::{BodyFacts, Header, Kind, Sealed, Sealer};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_tests::rig::{Agent, AgentOptions, ONE, PATIENCE, Rig, eventually, text};

/// Resident memory of the aggregator after a case.
const RSS_KIB_MAX: u64 = 400 * 1024;
/// The good agent's next line is found within this, on a busy machine too.
const GOOD_LINE_MAX: Duration = Duration::from_secs(15);
/// Name of the client that means harm; it has a good certificate.
const EVIL: &str = "evil.test";
const STREAM: StreamId = StreamId([0xe7; 16]);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// An aggregator, a good agent, and a certificate for the client that means harm.
struct House {
    rig: Rig,
    good: Agent,
    log: std::path::PathBuf,
    lines: u64,
    evil: Agent,
}

impl House {
    fn new() -> House {
        let rig = Rig::new(ONE);
        let log = rig.dir().join("good.log");
        std::fs::write(&log, "").unwrap();
        let options = AgentOptions {
            logs: vec![log.display().to_string()],
            more: "[metrics]\ninterval = \"1s\"\n".to_owned(),
            ..Default::default()
        };
        let good = rig.agent("good.test", &options);
        let evil = rig.enrolled(EVIL, &AgentOptions::default());
        let mut house = House { rig, good, log, lines: 0, evil };
        house.good_line();
        house
    }

    fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.rig.aggregators[0].port).into()
    }

    /// The good agent logs a line; gives the time until it is found.
    #[track_caller]
    fn good_line(&mut self) -> Duration {
        use std::io::Write as _;
        self.lines += 1;
        let word = format!("good-line-{}-end", self.lines);
        let mut file = std::fs::File::options().append(true).open(&self.log).unwrap();
        writeln!(file, "{word}").unwrap();
        let began = Instant::now();
        eventually("the good agent's line is found", PATIENCE, || {
            let found = self.rig.aggregators[0].ask_local(&format!("logs?q={word}"));
            found.contains(&word).then_some(())
        });
        began.elapsed()
    }

    /// New heartbeats and new samples are taken in: no follower hangs or has ended.
    fn every_store_moves(&self) {
        for page in ["hosts/good.test", "metrics?q=node_time_seconds"] {
            let before = self.rig.aggregators[0].ask_local(page);
            eventually(&format!("{page} has something newer"), PATIENCE, || {
                let now = self.rig.aggregators[0].ask_local(page);
                (now.contains("good.test") && now != before).then_some(())
            });
        }
    }

    fn dialer(&self) -> Dialer {
        let store = IdentityStore::open(&self.evil.state_dir().join("identity")).unwrap();
        Dialer::new(store, Tuning::agent()).unwrap()
    }
}

/// Plays one case and looks at the house afterwards.
fn check<T>(case: impl AsyncFnOnce(&House) -> T) -> T {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut house = House::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let began = Instant::now();
    let outcome = runtime.block_on(case(&house));
    let played = began.elapsed();
    let took = house.good_line();
    assert!(took < GOOD_LINE_MAX, "the good agent's line came after {took:?}");
    house.every_store_moves();
    assert_eq!(text(&house.good.status().unwrap(), "uplink"), "live");
    let aggregator = &mut house.rig.aggregators[0];
    let process = aggregator.process.as_mut().unwrap();
    assert!(process.is_running(), "the aggregator died:\n{}", process.log_tail());
    let kib = process.status_kib("VmHWM").unwrap();
    println!("played {played:.1?}; good line after {took:.2?}; peak memory {} MiB", kib / 1024);
    assert!(kib < RSS_KIB_MAX, "the aggregator took {kib} KiB");
    assert!(!aggregator.log().contains("panicked"), "{}", aggregator.log_tail());
    outcome
}

/// A connection that said a good hello and was welcomed.
struct Evil {
    connection: Connection,
    _control_tx: ControlTx,
    control_rx: ControlRx,
}

fn hello(host: &str, stream: StreamId) -> FromAgent {
    let offer = |lane: Lane| {
        let mut stream = stream;
        stream.0[15] = stream.0[15].wrapping_add(lane as u8);
        LaneOffer { lane, stream, first_unacked: Seq(1), last: Seq(1 << 40) }
    };
    FromAgent::Hello(Hello {
        version: TALK_VERSION,
        host: host.to_owned(),
        datacenter: "eqiad".to_owned(),
        agent_version: "0".to_owned(),
        probe: false,
        lanes: [Lane::State, Lane::Metrics, Lane::Logs].map(offer).to_vec(),
        epoch: 0,
        turn: 0,
        roots: None,
    })
}

fn stream_of(lane: Lane) -> StreamId {
    let mut stream = STREAM;
    stream.0[15] = stream.0[15].wrapping_add(lane as u8);
    stream
}

impl Evil {
    async fn welcomed(dialer: &Dialer, house: &House) -> Evil {
        let connection = dialer.dial(house.address(), "agg1.eqiad.test").await.unwrap();
        let (mut control_tx, mut control_rx) = connection.open_control().unwrap();
        control_tx.send(&hello(EVIL, STREAM)).await.unwrap();
        let welcome: Option<FromAggregator> = control_rx.recv().await.unwrap();
        assert!(matches!(welcome, Some(FromAggregator::Welcome(_))), "{welcome:?}");
        Evil { connection, _control_tx: control_tx, control_rx }
    }

    /// Waits until the aggregator ends it; gives the reason.
    async fn ended(mut self) -> String {
        let talk = async {
            while let Ok(Some(message)) = self.control_rx.recv::<FromAggregator>().await {
                if let FromAggregator::Refused { why } = message {
                    return why;
                }
            }
            self.connection.closed().await.to_string()
        };
        tokio::time::timeout(PATIENCE, talk).await.expect("the aggregator ends it")
    }
}

fn facts(kind: Kind, records: u32) -> BodyFacts {
    let now = muster_link::system_clock()();
    BodyFacts { kind, dict: 0, records, first_at: now, last_at: now }
}

fn seal(kind: Kind, records: u32, raw: &[u8]) -> Sealed {
    Sealer::new().unwrap().seal(facts(kind, records), raw).unwrap()
}

fn frame(sealed: &Sealed, lane: Lane, seq: u64) -> Vec<u8> {
    let header = sealed.header(lane, stream_of(lane), Seq(seq));
    [&header.encode()[..], &sealed.body].concat()
}

/// Sends bytes on a lane of a welcomed connection; gives why the aggregator ended it.
async fn lane_bytes(house: &House, bytes: Vec<u8>) -> String {
    let dialer = house.dialer();
    let evil = Evil::welcomed(&dialer, house).await;
    let mut lane = evil.connection.open_lane(Lane::Logs).await.unwrap();
    let _ = lane.write(Bytes::from(bytes)).await;
    evil.ended().await
}

/// Sends one frame after another; all are taken and acked. `lane` must be that of the frames.
async fn frames_are_acked(house: &House, lane: Lane, frames: Vec<Vec<u8>>) {
    let dialer = house.dialer();
    let mut evil = Evil::welcomed(&dialer, house).await;
    let mut tx = evil.connection.open_lane(lane).await.unwrap();
    let last = Seq(frames.len() as u64);
    for frame in frames {
        tx.write(Bytes::from(frame)).await.unwrap();
    }
    let acked = acked_to(&mut evil.control_rx, lane, last);
    tokio::time::timeout(PATIENCE, acked).await.expect("acked: intake does not look inside");
}

async fn acked_to(control: &mut ControlRx, wanted: Lane, last: Seq) {
    loop {
        match control.recv().await.unwrap() {
            Some(FromAggregator::Ack { lane, seq, .. }) if lane == wanted && seq >= last => return,
            Some(_) => {}
            None => panic!("closed"),
        }
    }
}

#[test]
fn random_bytes() {
    check(async |house| {
        let mut random = fastrand::Rng::with_seed(0x6a7b);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..50_000 {
            let mut bytes: Vec<u8> = (0..random.usize(0..1400)).map(|_| random.u8(..)).collect();
            // Half of them look like the first packet of a connection.
            if n % 2 == 0 && bytes.len() > 5 {
                bytes[..5].copy_from_slice(&[0xc0 | random.u8(..16), 0, 0, 0, 1]);
            }
            let _ = socket.send_to(&bytes, house.address());
        }
    });
}

#[test]
fn handshakes_that_are_never_finished() {
    const HANDSHAKES: usize = 3_000;
    check(async |house| {
        // First packets of real handshakes, caught on their way to somebody who does not answer.
        let trap = UdpSocket::bind("127.0.0.1:0").unwrap();
        trap.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (dialer, target) = (house.dialer(), trap.local_addr().unwrap());
        let (out, mut packet, mut sent) = (UdpSocket::bind("127.0.0.1:0").unwrap(), [0; 2048], 0);
        while sent < HANDSHAKES {
            let dial = dialer.dial(target, "agg1.eqiad.test");
            let _ = tokio::time::timeout(Duration::from_millis(1), dial).await;
            trap.set_nonblocking(true).unwrap();
            while let Ok((len, _)) = trap.recv_from(&mut packet) {
                // 0xc0: a long header of the type Initial; what closes a connection is shorter.
                if packet[0] & 0xf0 == 0xc0 && len >= 1200 {
                    out.send_to(&packet[..len], house.address()).unwrap();
                    sent += 1;
                }
            }
        }
        let began = Instant::now();
        let dialer = house.dialer();
        let evil = Evil::welcomed(&dialer, house).await;
        println!("{sent} unfinished; a good handshake beside them took {:.2?}", began.elapsed());
        drop(evil);
    });
}

#[test]
fn huge_length_on_the_control_stream() {
    let why = check(async |house| {
        let dialer = house.dialer();
        let mut evil = Evil::welcomed(&dialer, house).await;
        evil._control_tx.write_raw(&u32::MAX.to_le_bytes()).await.unwrap();
        let _ = evil._control_tx.write_raw(&[0; 65_536]).await;
        evil.ended().await
    });
    assert!(why.contains("a control message of 4294967295 bytes, over 65536"), "{why}");
}

#[test]
fn deep_cbor_on_the_control_stream() {
    let why = check(async |house| {
        let dialer = house.dialer();
        let mut evil = Evil::welcomed(&dialer, house).await;
        let mut deep = vec![0x81; 60_000];
        deep.push(0xf6);
        let len = u32::try_from(deep.len()).unwrap().to_le_bytes();
        evil._control_tx.write_raw(&[&len[..], &deep].concat()).await.unwrap();
        evil.ended().await
    });
    assert!(why.contains("nested") || why.contains("deep"), "{why}");
}

#[test]
fn counts_that_lie_on_the_control_stream() {
    check(async |house| {
        let dialer = house.dialer();
        for head in [0x9b, 0xbb, 0x5b, 0x7b] {
            let mut evil = Evil::welcomed(&dialer, house).await;
            let mut body = vec![head];
            body.extend_from_slice(&u64::MAX.to_be_bytes());
            let len = u32::try_from(body.len()).unwrap().to_le_bytes();
            evil._control_tx.write_raw(&[&len[..], &body].concat()).await.unwrap();
            evil.ended().await;
        }
    });
}

#[test]
fn huge_lengths_on_a_lane() {
    check(async |house| {
        let good = seal(Kind::Log, 1, b"x");
        let good = good.header(Lane::Logs, stream_of(Lane::Logs), Seq(1));
        for header in [
            Header { body_len: u32::MAX, ..good },
            Header { raw_len: u32::MAX, ..good },
            Header { records: u32::MAX, ..good },
        ] {
            let why = lane_bytes(house, header.encode().to_vec()).await;
            assert!(why.contains("bad frame") || why.contains("over the limit"), "{why}");
        }
    });
}

#[test]
fn wrong_checksums_and_noise_on_a_lane() {
    check(async |house| {
        let sealed = seal(Kind::Log, 1, b"whatever");
        for damaged in [10, 79, Header::BYTES + 2] {
            let mut bytes = frame(&sealed, Lane::Logs, 1);
            bytes[damaged] ^= 1;
            let why = lane_bytes(house, bytes).await;
            assert!(why.contains("bad frame") || why.contains("checksum"), "{why}");
        }
        let mut random = fastrand::Rng::with_seed(0xbad5);
        lane_bytes(house, (0..10_000).map(|_| random.u8(..)).collect()).await;
    });
}

#[test]
fn frames_of_another_stream_and_another_host() {
    check(async |house| {
        let sealed = seal(Kind::Log, 1, b"whatever");
        let mut header = sealed.header(Lane::Logs, stream_of(Lane::Logs), Seq(1));
        header.stream = StreamId([1; 16]);
        let bytes = [&header.encode()[..], &sealed.body].concat();
        let why = lane_bytes(house, bytes).await;
        assert!(why.contains("refused"), "a stream that was not offered: {why}");

        // The streams of the good agent, offered by somebody else.
        let status = house.good.status().unwrap();
        let lanes = status["lanes"].as_array().unwrap();
        let theirs: StreamId = text(&lanes[2], "stream").parse().unwrap();
        let dialer = house.dialer();
        let connection = dialer.dial(house.address(), "agg1.eqiad.test").await.unwrap();
        let (mut control, mut answers) = connection.open_control().unwrap();
        let FromAgent::Hello(mut stolen) = hello(EVIL, STREAM) else { unreachable!() };
        stolen.lanes = vec![LaneOffer {
            lane: Lane::Logs,
            stream: theirs,
            first_unacked: Seq(1),
            last: Seq(9),
        }];
        control.send(&FromAgent::Hello(stolen)).await.unwrap();
        let why = match answers.recv().await {
            Ok(Some(FromAggregator::Refused { why })) => why,
            Ok(other) => panic!("{other:?}"),
            Err(error) => error.to_string(),
        };
        assert!(why.contains("another host"), "{why}");

        // The name of the good agent, with another certificate.
        let connection = dialer.dial(house.address(), "agg1.eqiad.test").await.unwrap();
        let (mut control, mut answers) = connection.open_control().unwrap();
        control.send(&hello("good.test", STREAM)).await.unwrap();
        let refused = !matches!(answers.recv().await, Ok(Some(FromAggregator::Welcome(_))));
        assert!(refused, "a name that is not the certificate's");
    });
}

#[test]
fn bodies_that_are_bombs() {
    check(async |house| {
        // 4 MiB of zeros in a few hundred bytes, and headers that lie about it.
        let honest = seal(Kind::Log, 1, &vec![0; 4 * 1024 * 1024]);
        let frames = [honest.raw_len, 1, 0, 4 * 1024 * 1024 - 1].into_iter().zip(1..);
        let frames = frames
            .map(|(raw_len, seq)| frame(&Sealed { raw_len, ..honest.clone() }, Lane::Logs, seq));
        frames_are_acked(house, Lane::Logs, frames.collect()).await;
    });
}

/// CBOR that announces far more than it holds, or nests without end.
fn cbor_bombs() -> Vec<Vec<u8>> {
    let huge = |head: u8| [&[head][..], &u64::MAX.to_be_bytes()].concat();
    let mut bombs: Vec<Vec<u8>> = [0x9b, 0xbb, 0x5b, 0x7b, 0x9a, 0xba].map(huge).to_vec();
    bombs.extend([0x81, 0xa1, 0xd8, 0x9f, 0xbf].map(|head| vec![head; 1_000_000]));
    let sources = b"\xa1\x67sources\x9b\xff\xff\xff\xff\xff\xff\xff\xff";
    bombs.push(sources.to_vec());
    bombs.push([&b"\xa1\x67sources\x9a\x00\x10\x00\x00"[..], &[0xa0; 1_048_576]].concat());
    bombs.push(Vec::new());
    bombs
}

#[test]
fn cbor_bombs_in_good_frames() {
    check(async |house| {
        for (lane, kind) in
            [(Lane::Logs, Kind::Log), (Lane::State, Kind::State), (Lane::Metrics, Kind::Metric)]
        {
            let sealed = cbor_bombs().into_iter().map(|raw| seal(kind, 262_144, &raw));
            let frames = sealed.zip(1..).map(|(sealed, seq)| frame(&sealed, lane, seq)).collect();
            frames_are_acked(house, lane, frames).await;
        }
        // Dicts stand outside the sequence: a good frame behind them shows that they were read.
        let dialer = house.dialer();
        let evil = Evil::welcomed(&dialer, house).await;
        let mut tx = evil.connection.open_lane(Lane::Metrics).await.unwrap();
        for (raw, number) in cbor_bombs().iter().zip(1..) {
            let dict = seal(Kind::Dict, 0, raw);
            let _ = tx.write(Bytes::from(frame(&dict, Lane::Metrics, number))).await;
        }
        tx.finish();
        let _ = tokio::time::timeout(Duration::from_secs(5), tx.finished()).await;
    });
}

/// Writes `count` frames in pieces of many, the seq and the checksum of the header made anew for each.
async fn pour(mut lane: LaneTx, sealed: &Sealed, count: u64) -> Result<(), muster_link::LinkError> {
    let mut piece = Vec::new();
    for seq in 1..=count {
        piece.extend_from_slice(&frame(sealed, Lane::State, seq));
        if piece.len() > 60_000 || seq == count {
            lane.write(Bytes::from(std::mem::take(&mut piece))).await?;
        }
    }
    Ok(())
}

#[test]
fn a_million_tiny_frames() {
    const FRAMES: u64 = 1_000_000;
    check(async |house| {
        let sealed = seal(Kind::State, 0, b"\xa0");
        let sealed = Sealed { facts: BodyFacts { first_at: Utc(1), ..sealed.facts }, ..sealed };
        let dialer = house.dialer();
        let mut evil = Evil::welcomed(&dialer, house).await;
        let lane = evil.connection.open_lane(Lane::State).await.unwrap();
        let began = Instant::now();
        let poured = pour(lane, &sealed, FRAMES);
        let acked = acked_to(&mut evil.control_rx, Lane::State, Seq(FRAMES));
        let both = async { tokio::join!(poured, acked).0.unwrap() };
        tokio::time::timeout(Duration::from_secs(120), both).await.expect("all are taken");
        println!(
            "{FRAMES} frames of {} bytes taken and synced in {:.1?}",
            80 + sealed.body.len(),
            began.elapsed()
        );
    });
}
