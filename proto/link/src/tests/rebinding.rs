//! A NAT gives a connected agent another port: the connection goes on, at whichever door it is.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use muster_proto::control::FromAgent;

use super::*;
use crate::keys::EndpointKeys;

/// Doors of the aggregator under test.
const DOORS: u8 = 4;
/// Rebinds of the NAT. With four doors, chance alone would keep a connection once in 4^12.
const REBINDS: u32 = 12;

/// A NAT in two threads: one client behind it, a fresh port towards `server` whenever it is told.
struct Nat {
    addr: SocketAddr,
    rebinds: Arc<AtomicU32>,
    bound: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Nat {
    fn new(server: SocketAddr) -> Nat {
        let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = inside.local_addr().unwrap();
        let (rebinds, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let bound = Arc::new(AtomicU32::new(0));
        let (wanted, done, stopped) = (rebinds.clone(), bound.clone(), stop.clone());
        let forward = move || forward(&inside, server, (&wanted, &done), &stopped);
        let thread = Some(std::thread::spawn(forward));
        Nat { addr, rebinds, bound, stop, thread }
    }

    /// Returns when it is done: a handshake that is cut in two by it would go to two doors.
    fn rebind(&self) {
        let wanted = self.rebinds.fetch_add(1, Ordering::SeqCst) + 1;
        while self.bound.load(Ordering::SeqCst) != wanted {
            std::thread::yield_now();
        }
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().unwrap().join();
    }
}

fn forward(
    inside: &UdpSocket,
    server: SocketAddr,
    (wanted, done): (&AtomicU32, &AtomicU32),
    stopped: &AtomicBool,
) {
    let fresh = || {
        let outside = UdpSocket::bind("127.0.0.1:0").unwrap();
        outside.connect(server).unwrap();
        outside.set_nonblocking(true).unwrap();
        outside
    };
    inside.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let (mut outside, mut bound, mut client) = (fresh(), 0, None);
    let mut packet = [0; 65_535];
    while !stopped.load(Ordering::SeqCst) {
        if wanted.load(Ordering::SeqCst) != bound {
            bound = wanted.load(Ordering::SeqCst);
            outside = fresh();
            done.store(bound, Ordering::SeqCst);
        }
        if let Ok((len, from)) = inside.recv_from(&mut packet) {
            client = Some(from);
            let _ = outside.send(&packet[..len]);
        }
        while let Ok(len) = outside.recv(&mut packet) {
            let _ = inside.send_to(&packet[..len], client.unwrap());
        }
    }
}

/// An aggregator with several doors on one port.
fn doors(house: &House, steered: bool) -> Vec<Post> {
    let store = house.store(AGG, Role::Aggregator);
    let keys = Arc::new(EndpointKeys::open(&house.path("endpoint.keys")).unwrap());
    let tuning = small(Tuning::aggregator()).with_keys(keys);
    let mut posts: Vec<Post> = Vec::new();
    for door in 0..DOORS {
        let at = posts.first().map_or("127.0.0.1:0".parse().unwrap(), |first| first.addr);
        let tuning = if steered { tuning.clone().at_door(door) } else { tuning.clone() };
        posts.push(Post::bind_at(at, &store, tuning));
    }
    posts
}

/// The peer's end at whichever door it came to.
async fn arrived(posts: &[Post]) -> Connection {
    let mut waits: Vec<_> = posts.iter().map(|post| Box::pin(post.peer())).collect();
    std::future::poll_fn(|context| {
        let ready = waits.iter_mut().find_map(|wait| match wait.as_mut().poll(context) {
            std::task::Poll::Ready(connection) => Some(connection),
            std::task::Poll::Pending => None,
        });
        ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}

#[test]
fn a_rebind_moves_the_connection_and_loses_nothing() {
    run(async {
        let house = House::new();
        let posts = doors(&house, true);
        let nat = Nat::new(posts[0].addr);
        let dialer = Dialer::new(house.store(HOST, Role::Agent), Tuning::agent()).unwrap();
        let (dialled, ours) = tokio::join!(dialer.dial(nat.addr, AGG), arrived(&posts));
        let dialled = dialled.unwrap();
        let (mut say, _told) = dialled.open_control().unwrap();
        let mut hear = None;
        let mut ports = vec![ours.remote_address().port()];
        for round in 0..REBINDS {
            nat.rebind();
            let said = FromAgent::Bye { reason: format!("round {round}") };
            say.send(&said).await.unwrap();
            if hear.is_none() {
                hear = Some(ours.accept_control().await.unwrap().1);
            }
            let heard = hear.as_mut().unwrap().recv::<FromAgent>().await.unwrap();
            assert_eq!(heard, Some(said), "the same stream, nothing lost");
            ports.push(ours.remote_address().port());
        }
        ports.dedup();
        assert!(ports.len() > REBINDS as usize / 2, "it really moved: {ports:?}");
        assert!(dialled.close_reason().is_none() && ours.close_reason().is_none());
    });
}

#[test]
fn without_steering_the_moved_connection_ends_at_once_and_not_by_silence() {
    run(async {
        let house = House::new();
        let posts = doors(&house, false);
        let nat = Nat::new(posts[0].addr);
        let dialer = Dialer::new(house.store(HOST, Role::Agent), Tuning::agent()).unwrap();
        let (dialled, _ours) = tokio::join!(dialer.dial(nat.addr, AGG), arrived(&posts));
        let dialled = dialled.unwrap();
        let (mut say, _told) = dialled.open_control().unwrap();
        let ended = async {
            loop {
                nat.rebind();
                let said = say.send(&FromAgent::Nudge).await;
                if said.is_err() {
                    return;
                }
                let pace = Duration::from_millis(100);
                let _ = tokio::time::timeout(pace, dialled.closed()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("another door resets it");
        assert!(
            matches!(dialled.close_reason(), Some(LinkError::Reset)),
            "{:?}",
            dialled.close_reason()
        );
        let again = tokio::join!(dialer.dial(nat.addr, AGG), arrived(&posts)).0;
        assert!(again.is_ok(), "and a new one is made");
    });
}
