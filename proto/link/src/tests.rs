//! Two ends on loopback, with a CA in a temporary directory and a clock of our own.

mod authority;
mod enrolling;
mod hostile;
mod rebinding;
mod refusals;
mod renewal;
mod rollover;
mod talking;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_proto::clock::Utc;
use tempfile::TempDir;

use crate::ca::{Ca, Certified, HOST_TTL, Wish};
use crate::identity::{Fresh, new_key_and_csr};
use crate::*;

/// When every test begins: 2027-01-15.
const T0: Utc = Utc(1_800_000_000_000_000);
const DAY_US: i64 = 24 * 3600 * 1_000_000;
const AGG: &str = "agg1.example.org";
const HOST: &str = "db1.example.org";

/// A directory with a CA in it, and a clock that is moved by hand.
struct House {
    dir: TempDir,
    ca: Ca,
    now_us: Arc<AtomicI64>,
}

impl House {
    fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::init(&dir.path().join("ca"), "Example", T0).unwrap();
        House { dir, ca, now_us: Arc::new(AtomicI64::new(T0.0)) }
    }

    fn clock(&self) -> Clock {
        let now_us = self.now_us.clone();
        Arc::new(move || Utc(now_us.load(Ordering::Relaxed)))
    }

    fn now(&self) -> Utc {
        Utc(self.now_us.load(Ordering::Relaxed))
    }

    fn pass_days(&self, days: i64) {
        self.now_us.fetch_add(days * DAY_US, Ordering::Relaxed);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn certify(&self, name: &str, role: Role) -> (String, Certified) {
        let fresh = new_key_and_csr(name).unwrap();
        let wish = Wish { csr: &fresh.csr, name, role, ttl: HOST_TTL };
        (fresh.key_pem, self.ca.issue(&wish, self.now()).unwrap())
    }

    /// Writes an identity into a directory of its own.
    fn identity(&self, name: &str, role: Role) -> PathBuf {
        let (key_pem, certified) = self.certify(name, role);
        let dir = self.path(name);
        let roots = [self.ca.certificate().to_vec()];
        let fresh = Fresh { key_pem: &key_pem, chain: &certified.chain, roots: &roots };
        Identity::install(&dir, &fresh).unwrap();
        dir
    }

    fn store(&self, name: &str, role: Role) -> Arc<IdentityStore> {
        IdentityStore::open_at(&self.identity(name, role), self.clock()).unwrap()
    }
}

/// A listener on a free port of the loopback that keeps what it is told.
struct Post {
    listener: Listener,
    addr: SocketAddr,
    events: Arc<Mutex<Vec<String>>>,
    told: Arc<tokio::sync::Notify>,
}

impl Post {
    fn bind(store: &Arc<IdentityStore>, tuning: Tuning) -> Post {
        Post::bind_at("127.0.0.1:0".parse().unwrap(), store, tuning)
    }

    fn bind_at(addr: SocketAddr, store: &Arc<IdentityStore>, tuning: Tuning) -> Post {
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::new(tokio::sync::Notify::new());
        let (kept, tell) = (events.clone(), told.clone());
        let watch = move |event: Event| {
            if let Event::HandshakeFailed { why, .. } = event {
                kept.lock().unwrap().push(why.to_string());
                tell.notify_one();
            }
        };
        let listener =
            Listener::bind_watched(addr, store.clone(), tuning, Arc::new(watch)).unwrap();
        let addr = listener.local_addr().unwrap();
        Post { listener, addr, events, told }
    }

    /// The next failed handshake.
    async fn failure(&self) -> String {
        loop {
            if let Some(event) = self.events.lock().unwrap().pop() {
                return event;
            }
            self.told.notified().await;
        }
    }

    async fn peer(&self) -> Connection {
        match self.listener.accept().await {
            Some(Arrival::Peer(connection)) => connection,
            other => panic!("not a peer: {other:?}"),
        }
    }
}

fn small(tuning: Tuning) -> Tuning {
    Tuning { recv_buffer_bytes: 1_000_000, send_buffer_bytes: 1_000_000, ..tuning }
}

/// An agent and an aggregator that know each other, connected.
async fn pair(house: &House) -> (Post, Dialer, Connection, Connection) {
    let post = Post::bind(&house.store(AGG, Role::Aggregator), small(Tuning::aggregator()));
    let dialer = Dialer::new(house.store(HOST, Role::Agent), Tuning::agent()).unwrap();
    let (dialled, accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
    (post, dialer, dialled.unwrap(), accepted)
}

/// Runs a test on one thread and fails it when it does not end.
fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
    });
}
