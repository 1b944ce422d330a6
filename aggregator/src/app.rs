//! The wiring: everything is opened in [`App::build`], started and joined in [`App::run`].
//!
//! Room: `aggregator::app`.  May use: every part.  Used by: `commands`.
//!
//! ```text
//! one thread per core: listener → intake ─→ inbox threads (one per lane) ─→ followers (one per lane)
//! the main runtime: API sockets, peers, presence, revocations               → roster, stores
//! ```
//!
//! To stop: agents are asked to go elsewhere, listeners close, channels close, followers finish.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_link::{Dialer, EndpointKeys, IdentityStore, Tuning};
use muster_program::notify::Notify;
use muster_program::pulse::Pulse;
use muster_program::runtime::told_to_stop;
use muster_program::socket;
use muster_proto::clock::Utc;
use muster_proto::lane::Lane;
use muster_proto::talk::intake::Speaker;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::api::serve::{self, TlsAccept, Wire};
use crate::authority::{self, Authority};
use crate::config::Config;
use crate::fatal::Fatal;
use crate::follow::FollowCounts;
use crate::inbox::{ClosedInbox, Inbox};
use crate::intake::Desk;
use crate::peers::exchange::Exchange;
use crate::peers::{self, PeerLinks};
use crate::tokens;

mod door;
mod fleet;
mod keep;
mod look;
mod own;
mod stores;

/// How long agents may take to go elsewhere when we stop.
const DRAIN_PATIENCE: Duration = Duration::from_secs(3);

/// Everything opened, nothing running.
pub struct App {
    config: Arc<Config>,
    identity: Arc<IdentityStore>,
    tuning: Tuning,
    authority: Option<Arc<Authority>>,
    inboxes: Vec<ClosedInbox>,
    stores: stores::Stores,
    fleet: fleet::Fleet,
    socket: UnixListener,
    https: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

/// Where an aggregator keeps its certificate.
pub fn identity_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("identity")
}

/// Wall time now.
pub fn utc_now() -> Utc {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Utc(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl App {
    /// Opens certificates, inboxes, stores and sockets.
    ///
    /// # Errors
    /// [`Fatal`], each with its exit code; nothing is running then.
    pub async fn build(config: Config) -> Result<App, Fatal> {
        let config = Arc::new(config);
        muster_link::warm().map_err(|error| Fatal::System {
            what: "get random bytes",
            source: std::io::Error::other(error),
        })?;
        let identity = open_identity(&config)?;
        let keys = Arc::new(EndpointKeys::open(&config.state_dir.join("endpoint.keys"))?);
        let tuning = Tuning::aggregator().with_keys(keys);
        let authority = Authority::open(&config.ca_dir, utc_now)?.map(Arc::new);
        let inboxes = open_inboxes(&config)?;
        let stores = stores::Stores::open(&config, &inboxes)?;
        let fleet = fleet::Fleet::open(&config, stores.state_path())?;
        let socket = bind_socket(&config)?;
        let https = bind_tcp(config.https).await?;
        let metrics = bind_tcp(config.metrics).await?;
        Ok(App {
            config,
            identity,
            tuning,
            authority,
            inboxes,
            stores,
            fleet,
            socket,
            https,
            metrics,
        })
    }

    /// Starts everything, waits for SIGTERM or SIGINT, stops everything.
    ///
    /// # Errors
    /// [`Fatal`] when a thread or a listener cannot be started.
    pub async fn run(self) -> Result<(), Fatal> {
        let name = self.config.name.clone();
        let notify = Arc::new(Notify::from_environment());
        let running = Running::start(self, &notify)?;
        tracing::info!(name, "Running.");
        notify.ready();
        told_to_stop()
            .await
            .map_err(|source| Fatal::System { what: "listen for signals", source })?;
        tracing::info!("Stopping.");
        notify.stopping();
        running.stop().await;
        Ok(())
    }
}

fn open_identity(config: &Config) -> Result<Arc<IdentityStore>, Fatal> {
    let dir = identity_dir(&config.state_dir);
    match dir.join("host.crt").try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(Fatal::NoIdentity { dir }),
        Err(source) => return Err(Fatal::System { what: "look for the certificate", source }),
    }
    let identity = IdentityStore::open(&dir).map_err(Fatal::Identity)?;
    let certificate = identity.identity().name().to_owned();
    if certificate != config.name {
        return Err(Fatal::OtherName { certificate, configured: config.name.clone() });
    }
    Ok(identity)
}

fn open_inboxes(config: &Config) -> Result<Vec<ClosedInbox>, Fatal> {
    let cursors = [
        (Lane::State, crate::follow::STATE_CURSOR),
        (Lane::Metrics, crate::follow::METRICS_CURSOR),
        (Lane::Logs, crate::follow::LOGS_CURSOR),
    ];
    let open = |(lane, cursor): (Lane, &'static str)| {
        ClosedInbox::open(&config.state_dir, lane, config.store.inbox_bytes, &[cursor])
    };
    Ok(cursors.into_iter().map(open).collect::<Result<_, _>>()?)
}

fn bind_socket(config: &Config) -> Result<UnixListener, Fatal> {
    socket::bind(&config.socket, serve::SOCKET_MODE).map_err(|error| Fatal::Listen {
        what: config.socket.display().to_string(),
        source: Box::new(error),
    })
}

async fn bind_tcp(address: Option<std::net::SocketAddr>) -> Result<Option<TcpListener>, Fatal> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound
        .map(Some)
        .map_err(|error| Fatal::Listen { what: address.to_string(), source: Box::new(error) })
}

/// The server's side of TLS with this aggregator's own certificate.
fn tls(identity: Arc<IdentityStore>) -> TlsAccept {
    Arc::new(move |stream| {
        let handshake = muster_link::web::accept(identity.clone(), stream);
        Box::pin(async move { Ok(Box::new(handshake.await?) as Box<dyn Wire>) })
    })
}

type InboxThreads = (Vec<Inbox>, Vec<JoinHandle<()>>);

fn start_inboxes(closed: Vec<ClosedInbox>, pulse: &mut Pulse) -> Result<InboxThreads, Fatal> {
    let start = |inbox: ClosedInbox| {
        let beat = pulse.beat(&format!("inbox-{}", inbox.lane()));
        inbox.start(beat)
    };
    let started = closed.into_iter().map(start).collect::<Result<Vec<_>, _>>();
    let started = started.map_err(|source| Fatal::System { what: "start a thread", source })?;
    Ok(started.into_iter().unzip())
}

fn dial_peers(
    tasks: &mut JoinSet<()>,
    config: &Config,
    identity: &Arc<IdentityStore>,
    exchange: Exchange,
) -> Result<(), Fatal> {
    let dialer = Arc::new(Dialer::new(identity.clone(), Tuning::peer()).map_err(Fatal::Link)?);
    for peer in &config.peers {
        tasks.spawn(peers::keep(exchange.links.clone(), dialer.clone(), peer.clone()));
        tasks.spawn(exchange.clone().follow(peer.name.clone()));
    }
    tasks.spawn(exchange.follow_relays());
    Ok(())
}

/// Revocations and lists of authorities: from the authority's directory, or from the peers.
fn follow_authority(
    tasks: &mut JoinSet<()>,
    (authority, ca_dir): (Option<Arc<Authority>>, PathBuf),
    (links, store): (Arc<PeerLinks>, Arc<IdentityStore>),
    (heard, roots): (Arc<authority::Heard>, watch::Sender<u64>),
) {
    match authority {
        Some(authority) => {
            let (dir, own) = (ca_dir.clone(), store.clone());
            tasks.spawn(authority::rollover::watch_dir(dir, authority, own, roots));
            tasks.spawn(authority::watch_revocations(ca_dir, store, heard));
        }
        None => {
            tasks.spawn(authority::rollover::follow(links.clone(), store.clone(), roots));
            tasks.spawn(authority::follow_revocations(links, store, heard));
        }
    }
}

/// Everything started.
struct Running {
    tasks: JoinSet<()>,
    draining: watch::Sender<bool>,
    doors: Vec<JoinHandle<()>>,
    stop_following: Arc<AtomicBool>,
    followers: Vec<JoinHandle<()>>,
    inboxes: Vec<Inbox>,
    inbox_threads: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(app: App, notify: &Arc<Notify>) -> Result<Running, Fatal> {
        let mut pulse = Pulse::default();
        let (inboxes, inbox_threads) = start_inboxes(app.inboxes, &mut pulse)?;
        let stop_following = Arc::new(AtomicBool::new(false));
        let counts: [Arc<FollowCounts>; 3] = Default::default();
        let followers =
            app.stores.follow(&inboxes, &counts, &app.config, (&stop_following, &mut pulse))?;
        let links = Arc::new(PeerLinks::new(&app.config.peers));
        let door_counts = Arc::new(door::DoorCounts::default());
        let heard = Arc::new(authority::Heard::new(utc_now()));
        let own = Arc::new(own::Own {
            name: app.config.name.clone(),
            boards: inboxes.iter().map(|inbox| inbox.board.clone()).collect(),
            counts,
            doors: door_counts.clone(),
            roster: app.stores.roster.clone(),
            fleet: app.fleet.clone(),
            logs: app.stores.logs.clone(),
            links: links.clone(),
            peers: app.config.peers.iter().map(|peer| peer.name.clone()).collect(),
            state_dir: app.config.state_dir.clone(),
            heard: heard.clone(),
        });
        let health = Arc::new(look::Health::new());
        let rooms = Arc::new(own.rooms(&app.config, &app.stores, &health));
        let renewer = authority::renewer(app.authority.as_ref(), &links);
        let (draining, drained) = watch::channel(false);
        let (roots_tx, roots) = watch::channel(app.identity.identity().roots_number());
        let (presence_tx, presence) = mpsc::unbounded_channel();
        let desk = Desk {
            speaker: Speaker {
                aggregator: app.config.name.clone(),
                datacenter: app.config.datacenter.clone(),
            },
            inboxes: inboxes.clone().into(),
            presence: presence_tx,
            renewer: renewer.clone(),
            draining: drained.clone(),
            full: health.full(),
            identity: app.identity.clone(),
            roots: roots.clone(),
        };
        let door = door::Door {
            address: app.config.quic,
            identity: app.identity.clone(),
            tuning: app.tuning,
            desk,
            authority: app.authority.clone(),
            rooms: rooms.clone(),
            counts: door_counts,
        };
        let doors = door::open(&door, &mut pulse)?;
        let mut tasks = JoinSet::new();
        let teller = own.clone();
        tasks.spawn(pulse.tell(notify.clone(), move || teller.status_line()));
        let exchange =
            Exchange { leases: app.fleet.leases.clone(), links: links.clone(), clock: utc_now };
        dial_peers(&mut tasks, &app.config, &app.identity, exchange)?;
        tasks.spawn(app.fleet.watch(app.stores.roster.clone()));
        tasks.spawn(authority::keep_own(renewer, app.identity.clone()));
        let (store, ca_dir) = (app.identity.clone(), app.config.ca_dir.clone());
        follow_authority(&mut tasks, (app.authority, ca_dir), (links, store), (heard, roots_tx));
        tasks.spawn(keep::presence(presence, app.stores.roster.clone(), app.config.name.clone()));
        tasks.spawn(keep::house(app.stores.clone(), app.config.clone(), health.room()));
        tasks.spawn(look::keep(health, own, app.identity.clone()));
        let secure = (tls(app.identity.clone()), tokens::check(&app.config.state_dir));
        let sockets = (app.socket, app.https, app.metrics);
        own::serve(&mut tasks, sockets, &rooms, secure, &drained);
        Ok(Running { tasks, draining, doors, stop_following, followers, inboxes, inbox_threads })
    }

    async fn stop(self) {
        let Running {
            mut tasks,
            draining,
            doors,
            stop_following,
            followers,
            inboxes,
            inbox_threads,
        } = self;
        let _ = draining.send(true);
        let join = move || {
            for thread in doors {
                let _ = thread.join();
            }
            drop(inboxes);
            stop_following.store(true, Ordering::Relaxed);
            for thread in inbox_threads.into_iter().chain(followers) {
                let _ = thread.join();
            }
        };
        let _ = tokio::task::spawn_blocking(join).await;
        tasks.shutdown().await;
    }
}
