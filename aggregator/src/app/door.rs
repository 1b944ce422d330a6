//! The door: one thread per core, each with its own runtime, endpoint and connections.
//!
//! All listen on the same address (SO_REUSEPORT): the kernel spreads the connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use muster_link::{
    Arrival, Close, Connection, Event, IdentityStore, LinkError, Listener, Role, Tuning,
};
use muster_program::pulse::{Beat, Pulse};
use muster_proto::errors::chain;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{DRAIN_PATIENCE, utc_now};
use crate::api::{Rooms, answer_peer};
use crate::authority::{self, Authority};
use crate::fatal::Fatal;
use crate::intake::{self, Desk};
use crate::peers::errand::Errand;
use crate::peers::exchange::answer_digest;

/// Threads that take connections. More bring nothing: the inbox has one thread per lane.
const DOORS_MAX: usize = 4;
/// How often a door shows that its runtime turns.
const TURN_EVERY: Duration = Duration::from_secs(10);

/// What all doors need.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) identity: Arc<IdentityStore>,
    pub(super) tuning: Tuning,
    pub(super) desk: Desk,
    pub(super) authority: Option<Arc<Authority>>,
    pub(super) rooms: Arc<Rooms>,
    pub(super) counts: Arc<DoorCounts>,
}

/// What happened at the doors.
#[derive(Debug, Default)]
pub(super) struct DoorCounts {
    /// Agents connected now.
    pub(super) agents: AtomicU64,
    /// Connections taken.
    pub(super) arrivals: AtomicU64,
    /// Handshakes that failed.
    pub(super) handshakes_failed: AtomicU64,
    /// Newcomers told to prove their address first.
    pub(super) handshakes_retried: AtomicU64,
    /// What the kernel granted of each door's receive buffer. Bytes.
    pub(super) receive_buffer_bytes: AtomicU64,
    /// Newcomers told to go elsewhere.
    pub(super) handshakes_refused: AtomicU64,
    /// Conversations that broke a rule.
    pub(super) refused: AtomicU64,
}

/// Opens every door and waits until each is bound.
pub(super) fn open(door: &Door, pulse: &mut Pulse) -> Result<Vec<JoinHandle<()>>, Fatal> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads = Vec::new();
    for number in 0..cores.min(DOORS_MAX) {
        let beat = pulse.beat(&format!("door-{number}"));
        let (bound_tx, bound) = mpsc::channel();
        let mut door = door.clone();
        door.tuning.door = u8::try_from(number).ok();
        let address = door.address.to_string();
        let thread = std::thread::Builder::new()
            .name(format!("door-{number}"))
            .spawn(move || run(&door, &bound_tx, beat))
            .map_err(|source| Fatal::System { what: "start a thread", source })?;
        match bound.recv() {
            Ok(Ok(())) => threads.push(thread),
            Ok(Err(error)) => {
                return Err(Fatal::Listen { what: address, source: Box::new(error) });
            }
            Err(_) => return Err(Fatal::Usage(format!("the listener on {address} died"))),
        }
    }
    Ok(threads)
}

fn run(door: &Door, bound: &mpsc::Sender<Result<(), LinkError>>, beat: Beat) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "No runtime for a listener."),
    };
    runtime.block_on(async {
        let turning = tokio::spawn(turn(beat.clone()));
        let counts = door.counts.clone();
        let watch = Arc::new(move |event| on_event(&counts, event));
        let listener =
            Listener::bind_watched(door.address, door.identity.clone(), door.tuning.clone(), watch);
        match listener {
            Ok(listener) => {
                tell_of_buffers(door, &listener);
                let _ = bound.send(Ok(()));
                serve(door, &listener).await;
            }
            Err(error) => drop(bound.send(Err(error))),
        }
        turning.abort();
        beat.rests();
    });
}

/// Shows that this runtime turns.
async fn turn(beat: Beat) {
    loop {
        beat.works();
        tokio::time::sleep(TURN_EVERY).await;
    }
}

/// With small buffers the agents of a whole region, arriving at once, drop one another's packets.
fn tell_of_buffers(door: &Door, listener: &Listener) {
    let granted = listener.granted();
    if granted.short && door.tuning.door == Some(0) {
        tracing::warn!(
            receive_bytes = granted.recv_bytes,
            wanted_bytes = door.tuning.recv_buffer_bytes,
            "The kernel gives small UDP buffers: raise net.core.rmem_max and net.core.wmem_max, or a \
             region that comes back at once will take minutes."
        );
    }
    door.counts.receive_buffer_bytes.store(granted.recv_bytes as u64, Ordering::Relaxed);
}

fn on_event(counts: &DoorCounts, event: Event) {
    match event {
        Event::HandshakeFailed { remote, why } => {
            counts.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%remote, why = chain(&why), "Handshake failed.");
        }
        Event::Refused { .. } => {
            counts.handshakes_refused.fetch_add(1, Ordering::Relaxed);
        }
        Event::Retried { .. } => {
            counts.handshakes_retried.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn serve(door: &Door, listener: &Listener) {
    let mut open = JoinSet::new();
    let mut draining = door.desk.draining.clone();
    loop {
        tokio::select! {
            arrival = listener.accept() => match arrival {
                Some(arrival) => {
                    door.counts.arrivals.fetch_add(1, Ordering::Relaxed);
                    receive(door, arrival, &mut open);
                }
                None => return,
            },
            Some(_) = open.join_next() => {}
            () = stopped(&mut draining) => break,
        }
    }
    let _ = tokio::time::timeout(DRAIN_PATIENCE, see_off(listener, &mut open)).await;
    listener.close(Close::Drain, "stop").await;
}

/// Waits until everybody has gone. Who comes meanwhile is told that we stop and goes elsewhere at
/// once: a handshake that is refused would say that there is no room, and that is worth waiting for.
async fn see_off(listener: &Listener, open: &mut JoinSet<()>) {
    while !open.is_empty() {
        tokio::select! {
            arrival = listener.accept() => match arrival {
                Some(Arrival::Peer(connection)) => connection.close(Close::Drain, "stop"),
                Some(Arrival::Enrol(_)) => {}
                None => return,
            },
            Some(_) = open.join_next() => {}
        }
    }
}

fn receive(door: &Door, arrival: Arrival, open: &mut JoinSet<()>) {
    match arrival {
        Arrival::Enrol(request) => {
            open.spawn(authority::answer(door.authority.clone(), request));
        }
        Arrival::Peer(connection) => match connection.peer().role {
            Role::Agent => {
                open.spawn(agent(door.clone(), connection));
            }
            Role::Aggregator => {
                open.spawn(peer(door.clone(), connection));
            }
            Role::Admin => connection.close(Close::Refused, "admins use the API"),
        },
    }
}

async fn agent(door: Door, connection: Connection) {
    let (host, remote) = (connection.peer().name.clone(), connection.remote_address());
    door.counts.agents.fetch_add(1, Ordering::Relaxed);
    let outcome = intake::serve(door.desk, connection).await;
    door.counts.agents.fetch_sub(1, Ordering::Relaxed);
    match outcome {
        Ok(()) => tracing::debug!(host, "An agent left."),
        Err(error) if error.is_breach() => {
            door.counts.refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(host, %remote, why = chain(&error), "An agent is refused.");
        }
        Err(error) => tracing::debug!(host, error = chain(&error), "An agent is gone."),
    }
}

/// Answers what a peer asks, each question in its own task.
async fn peer(door: Door, connection: Connection) {
    let mut answers = JoinSet::new();
    let mut draining = door.desk.draining.clone();
    loop {
        tokio::select! {
            asked = connection.accept_ask() => {
                let Ok(asked) = asked else { return };
                let Ok(errand) = serde_cbor::from_slice::<Errand>(&asked.question) else {
                    tracing::warn!(peer = connection.peer().name, "A peer asks something we do not know.");
                    continue;
                };
                let (rooms, authority) = (door.rooms.clone(), door.authority.clone());
                let (leases, identity) = (door.rooms.leases.clone(), door.identity.clone());
                let asker = connection.peer().clone();
                answers.spawn(async move {
                    let answer = match errand {
                        Errand::Page(question) => answer_peer(&rooms, &question).await,
                        Errand::Digest(ask) => answer_digest(leases, ask, utc_now()).await,
                        Errand::Roots { number } => authority::rollover::answer(&identity, number),
                        errand => authority::answer_peer(authority, asker, errand).await,
                    };
                    let _ = asked.reply(answer).await;
                });
            }
            Some(_) = answers.join_next() => {}
            () = stopped(&mut draining) => return,
        }
    }
}

async fn stopped(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}
