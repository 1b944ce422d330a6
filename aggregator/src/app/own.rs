//! What the aggregator says of itself, and the doors through which it says it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::door::DoorCounts;
use super::fleet::Fleet;
use super::look::Health;
use super::stores::Stores;
use super::utc_now;
use crate::api::Rooms;
use crate::api::door::{ADMIN_GROUP, TokenCheck};
use crate::api::rooms::QUESTIONS_MAX;
use crate::api::serve::{TlsAccept, serve_https, serve_metrics, serve_socket};
use crate::api::stored::Stored;
use crate::authority::Heard;
use crate::config::Config;
use crate::follow::FollowCounts;
use crate::inbox::InboxBoard;
use crate::incidents::Kind;
use crate::peers::PeerLinks;
use crate::roster::Roster;
use crate::stores::logs::LogStore;
use crate::stores::retention::room;

/// What `/metrics` looks at.
pub(super) struct Own {
    pub(super) name: String,
    /// Not the inboxes themselves: their threads end when nobody can send any more.
    pub(super) boards: Vec<Arc<InboxBoard>>,
    pub(super) counts: [Arc<FollowCounts>; 3],
    pub(super) doors: Arc<DoorCounts>,
    pub(super) roster: Arc<Mutex<Roster>>,
    pub(super) fleet: Fleet,
    pub(super) logs: LogStore,
    pub(super) links: Arc<PeerLinks>,
    pub(super) peers: Vec<String>,
    pub(super) state_dir: PathBuf,
    pub(super) heard: Arc<Heard>,
}

impl Own {
    /// Everything the API may ask.
    pub(super) fn rooms(
        self: &Arc<Own>,
        config: &Config,
        stores: &Stores,
        health: &Arc<Health>,
    ) -> Rooms {
        let restricted: BTreeSet<String> = config
            .classes
            .iter()
            .filter(|(_, class)| class.restricted)
            .map(|(name, _)| name.clone())
            .collect();
        let (own, health) = (self.clone(), health.clone());
        Rooms {
            name: config.name.clone(),
            datacenter: config.datacenter.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: utc_now(),
            roster: stores.roster.clone(),
            leases: self.fleet.leases.clone(),
            incidents: self.fleet.incidents.clone(),
            telemetry: Arc::new(Stored {
                logs: stores.logs.clone(),
                metrics: stores.metrics.clone(),
            }),
            peers: self.links.clone(),
            restricted,
            own_checks: Arc::new(move || health.states()),
            own: Arc::new(move || own.page()),
            clock: utc_now,
            turns: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        }
    }

    /// One line, as `systemctl status` shows it.
    pub(super) fn status_line(&self) -> String {
        let agents = self.doors.agents.load(Ordering::Relaxed);
        let mut line = format!("{agents} agents connected");
        for board in &self.boards {
            if let Some(why) = board.refusal() {
                let _ = write!(line, "; takes in no {}: {why}", board.lane);
            }
        }
        line
    }

    /// The page in Prometheus' text format.
    fn page(&self) -> String {
        let mut page = Page::default();
        let version = env!("CARGO_PKG_VERSION");
        let labels = format!("version=\"{version}\",name=\"{}\"", self.name);
        page.gauge("muster_aggregator_build_info", &[(labels, 1.0)]);
        let doors = &self.doors;
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed) as f64;
        page.gauge("muster_aggregator_agents_connected", &[(String::new(), load(&doors.agents))]);
        page.counter(
            "muster_aggregator_connections_total",
            &[(String::new(), load(&doors.arrivals))],
        );
        page.counter(
            "muster_aggregator_handshakes_failed_total",
            &[(String::new(), load(&doors.handshakes_failed))],
        );
        page.counter(
            "muster_aggregator_handshakes_retried_total",
            &[(String::new(), load(&doors.handshakes_retried))],
        );
        page.counter(
            "muster_aggregator_handshakes_refused_total",
            &[(String::new(), load(&doors.handshakes_refused))],
        );
        page.gauge(
            "muster_aggregator_udp_receive_buffer_bytes",
            &[(String::new(), load(&doors.receive_buffer_bytes))],
        );
        page.counter(
            "muster_aggregator_agents_refused_total",
            &[(String::new(), load(&doors.refused))],
        );
        self.inboxes(&mut page);
        self.followers(&mut page);
        let hit = |(limit, hits): &(&str, u64)| (format!("limit=\"{limit}\""), *hits as f64);
        page.counter("muster_aggregator_limit_hits_total", &self.overflows().each_ref().map(hit));
        let peer = |name: &String| {
            (format!("peer=\"{name}\""), f64::from(u8::from(self.links.is_open(name))))
        };
        page.gauge(
            "muster_aggregator_peer_linked",
            &self.peers.iter().map(peer).collect::<Vec<_>>(),
        );
        let hosts = self.roster.lock().unwrap_or_else(PoisonError::into_inner).hosts().count();
        page.gauge("muster_aggregator_hosts", &[(String::new(), hosts as f64)]);
        let leases =
            self.fleet.leases.lock().unwrap_or_else(PoisonError::into_inner).hosts().count();
        page.gauge("muster_aggregator_leases", &[(String::new(), leases as f64)]);
        let incidents = self.fleet.incidents.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |kind: &Kind| {
            let count = incidents.open().filter(|incident| incident.kind == *kind).count();
            (format!("kind=\"{}\"", kind.name()), count as f64)
        };
        page.gauge("muster_incidents", &Kind::ALL.iter().map(open).collect::<Vec<_>>());
        drop(incidents);
        if let Ok(free) = room(&self.state_dir) {
            page.gauge("muster_aggregator_disk_free_ratio", &[(String::new(), free)]);
        }
        page.text
    }

    fn inboxes(&self, page: &mut Page) {
        let each = |value: &dyn Fn(&InboxBoard) -> f64| -> Vec<(String, f64)> {
            let label = |board: &InboxBoard| format!("lane=\"{}\"", board.lane);
            self.boards.iter().map(|board| (label(board), value(board))).collect()
        };
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed) as f64;
        page.counter("muster_inbox_frames_total", &each(&|board| load(&board.frames)));
        page.counter("muster_inbox_frame_bytes_total", &each(&|board| load(&board.frame_bytes)));
        page.counter("muster_inbox_repeats_total", &each(&|board| load(&board.repeats)));
        page.counter("muster_inbox_commits_total", &each(&|board| load(&board.commits)));
        page.gauge("muster_inbox_bytes", &each(&|board| board.usage().0 as f64));
        page.gauge("muster_inbox_budget_bytes", &each(&|board| board.usage().1 as f64));
        let refuses = |board: &InboxBoard| f64::from(u8::from(board.refusal().is_some()));
        page.gauge("muster_inbox_disk_refuses", &each(&refuses));
    }

    fn followers(&self, page: &mut Page) {
        let names = ["state", "metrics", "logs"];
        let each = |value: &dyn Fn(&FollowCounts) -> f64| -> Vec<(String, f64)> {
            let pairs = names.iter().zip(&self.counts);
            pairs.map(|(name, counts)| (format!("store=\"{name}\""), value(counts))).collect()
        };
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed) as f64;
        page.counter("muster_store_frames_total", &each(&|counts| load(&counts.frames)));
        page.counter("muster_store_bad_frames_total", &each(&|counts| load(&counts.bad_frames)));
        page.counter("muster_store_failures_total", &each(&|counts| load(&counts.failures)));
        page.counter("muster_store_entries_missing_total", &each(&|counts| load(&counts.missing)));
        if let Ok(usage) = self.logs.usage() {
            page.gauge("muster_log_store_head_bytes", &[(String::new(), usage.head_bytes as f64)]);
        }
    }
}

/// A page that is being written.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn gauge(&mut self, name: &str, rows: &[(String, f64)]) {
        self.family(name, "gauge", rows);
    }

    fn counter(&mut self, name: &str, rows: &[(String, f64)]) {
        self.family(name, "counter", rows);
    }

    fn family(&mut self, name: &str, kind: &str, rows: &[(String, f64)]) {
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        for (labels, value) in rows {
            let _ = if labels.is_empty() {
                writeln!(self.text, "{name} {value}")
            } else {
                writeln!(self.text, "{name}{{{labels}}} {value}")
            };
        }
    }
}

/// Serves the API: on its socket, over HTTPS, and the plain pages for a local Prometheus.
pub(super) fn serve(
    tasks: &mut JoinSet<()>,
    (socket, https, metrics): (UnixListener, Option<TcpListener>, Option<TcpListener>),
    rooms: &Arc<Rooms>,
    (tls, tokens): (TlsAccept, TokenCheck),
    drained: &watch::Receiver<bool>,
) {
    let stop = || stopped(drained.clone());
    tasks.spawn(serve_socket(socket, rooms.clone(), ADMIN_GROUP.to_owned(), stop()));
    if let Some(listener) = https {
        tasks.spawn(serve_https((listener, tls), rooms.clone(), tokens.clone(), stop()));
    }
    if let Some(listener) = metrics {
        tasks.spawn(serve_metrics(listener, rooms.clone(), stop()));
    }
}

async fn stopped(mut drained: watch::Receiver<bool>) {
    let _ = drained.wait_for(|drained| *drained).await;
}
