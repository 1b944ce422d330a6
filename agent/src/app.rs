//! The wiring: everything is opened in [`App::build`], started and joined in [`App::run`].
//!
//! Room: `agent::app`.  May use: every part.  Used by: `commands`.
//!
//! ```text
//! files, journald → log thread ──→ lane logs ────┐
//! facts → checks  → report thread → lane state ──┼→ uplink (the runtime's one busy task) → aggregator
//! facts           → scrape thread → lane metrics ┘        listener, status socket
//! ```
//!
//! To stop, the sources are stopped; closing channels does the rest. The uplink gets a moment to
//! deliver what the sources said last, the spool keeps whatever it could not.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_link::{Dialer, IdentityStore, Tuning};
use muster_program::notify::Notify;
use muster_program::pulse::Pulse;
use muster_program::runtime::told_to_stop;
use muster_program::socket;
use muster_proto::clock::Mono;
use muster_proto::frame::Sealer;
use muster_proto::lane::Lane;
use muster_proto::state::{CheckState, HostFacts};
use muster_proto::talk::uplink::Speaker;
use muster_proto::verdict::Verdict;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::checks::{Override, Settings as CheckSettings};
use crate::config::Config;
use crate::departure::{self, Departure};
use crate::facts::clock::Clock;
use crate::fatal::Fatal;
use crate::host::Host;
use crate::lanes::{ClosedLane, LANES, LaneHandle};
use crate::logs::{Checkpoints, LogHandle, LogSettings, LogStats, LogThread};
use crate::metrics::listener::{self, Latest};
use crate::metrics::{Scraper, Settings as MetricSettings};
use crate::own_metrics::OwnMetrics;
use crate::report::{self, ReportParts, Reporter, Wake};
use crate::scrape::{self, ScrapeParts};
use crate::status::{self, CheckCounts, LaneStatus, LastSwitch, Status};
use crate::uplink::{self, Switch, UplinkParts, UplinkView};

mod logs;

/// How long a stopping agent tries to deliver its last words.
const LAST_WORDS: Duration = Duration::from_millis(1_500);

/// Everything opened, nothing running.
pub struct App {
    config: Config,
    identity: Arc<IdentityStore>,
    dialer: Arc<Dialer>,
    state: ClosedLane,
    metrics: ClosedLane,
    logs: ClosedLane,
    status: UnixListener,
    exporter: Option<TcpListener>,
    began: Instant,
}

/// Where an agent keeps its certificate.
pub fn identity_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("identity")
}

/// What the operator changed of the checks.
pub fn check_settings(config: &Config) -> CheckSettings {
    let mut settings = CheckSettings::default();
    for change in &config.checks {
        let over = Override {
            instance: "*".to_owned(),
            enabled: change.enabled,
            warn: change.warn,
            crit: change.crit,
            urgency: change.urgency,
            owner: change.owner.clone(),
            runbook: change.runbook.clone(),
        };
        settings.add(&change.id, over);
    }
    settings
}

impl App {
    /// Opens certificates, spools and sockets.
    ///
    /// # Errors
    /// [`Fatal`], each with its exit code; nothing is running then.
    pub async fn build(config: Config) -> Result<App, Fatal> {
        muster_link::warm().map_err(|error| Fatal::System {
            what: "get random bytes",
            source: std::io::Error::other(error),
        })?;
        let dir = identity_dir(&config.state_dir);
        match dir.join("host.crt").try_exists() {
            Ok(true) => {}
            Ok(false) => return Err(Fatal::NotEnrolled { dir }),
            Err(source) => return Err(Fatal::System { what: "look for the certificate", source }),
        }
        let identity = IdentityStore::open(&dir).map_err(Fatal::Identity)?;
        let certificate = identity.identity().name().to_owned();
        if let Some(configured) = config.host.name.clone().filter(|name| *name != certificate) {
            return Err(Fatal::OtherName { certificate, configured });
        }
        let dialer = Dialer::new(identity.clone(), Tuning::agent()).map_err(Fatal::Link)?;
        let open = |lane, budget| ClosedLane::open(&config.state_dir, lane, budget);
        let state = open(Lane::State, config.spool.state_bytes)?;
        let metrics = open(Lane::Metrics, config.spool.metrics_bytes)?;
        let logs = open(Lane::Logs, config.spool.logs_bytes)?;
        let path = status::socket_path(&config.run_dir);
        let status = socket::bind(&path, status::SOCKET_MODE)
            .map_err(|source| Fatal::Listen { what: path.display().to_string(), source })?;
        let exporter = bind_exporter(&config).await?;
        let began = Instant::now();
        let dialer = Arc::new(dialer);
        Ok(App { config, identity, dialer, state, metrics, logs, status, exporter, began })
    }

    /// Starts everything, waits for SIGTERM or SIGINT, stops everything.
    ///
    /// # Errors
    /// [`Fatal`] when a thread cannot be started.
    pub async fn run(self) -> Result<(), Fatal> {
        let notify = Arc::new(Notify::from_environment());
        let running = Running::start(self, &notify)?;
        tracing::info!(host = running.identity.host, "Running.");
        notify.ready();
        told_to_stop()
            .await
            .map_err(|source| Fatal::System { what: "listen for signals", source })?;
        notify.stopping();
        let departure = departure::decide(&departure::read().await);
        tracing::info!(reason = departure.reason(), "Stopping.");
        running.stop(departure).await;
        Ok(())
    }
}

async fn bind_exporter(config: &Config) -> Result<Option<TcpListener>, Fatal> {
    let Some(address) = config.metrics.listen else { return Ok(None) };
    let failed = |source| Fatal::Listen { what: address.to_string(), source };
    Ok(Some(TcpListener::bind(address).await.map_err(failed)?))
}

/// Who the status page says we are.
#[derive(Clone)]
struct Identity {
    host: String,
    datacenter: String,
}

impl Identity {
    fn speaker(&self) -> Speaker {
        Speaker {
            host: self.host.clone(),
            datacenter: self.datacenter.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Everything started.
struct Running {
    identity: Identity,
    tasks: JoinSet<()>,
    uplink: JoinSet<()>,
    stop_uplink: watch::Sender<bool>,
    stop_scrape: mpsc::Sender<()>,
    scrape: JoinHandle<()>,
    reporter: Reporter,
    log_thread: Option<LogHandle>,
    lanes: Vec<LaneHandle>,
    lane_threads: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(app: App, notify: &Arc<Notify>) -> Result<Running, Fatal> {
        let mut pulse = Pulse::default();
        let system = |source| Fatal::System { what: "start a thread", source };
        let identity = Identity {
            host: app.identity.identity().name().to_owned(),
            datacenter: app.config.datacenter().to_owned(),
        };
        let kept = report::kept_in(find_note(&app.state, report::kept_note()).as_deref());
        let checkpoints = Checkpoints::load(app.logs.notes());
        let (lanes, lane_threads) = start_lanes([app.state, app.metrics, app.logs], &mut pulse)?;
        let (view_tx, view_rx) = watch::channel(UplinkView::default());
        let (stop_uplink, stopped) = watch::channel(false);
        let log_settings = logs::settings(&app.config.logs);
        let log_thread = start_logs(log_settings, checkpoints, &lanes[2])?;
        let log_stats = log_thread.as_ref().map(|thread| thread.stats().clone());
        let reporter = Reporter::start(ReportParts {
            host: Host::at(&app.config.root),
            identity: host_facts(&app.config),
            settings: check_settings(&app.config),
            kept,
            heartbeat: app.config.uplink.heartbeat,
            lanes: lanes.clone(),
            certificate: app.identity.clone(),
            logs: log_stats.clone(),
            uplink: view_rx.clone(),
            began: app.began,
            beat: pulse.beat("report"),
        })
        .map_err(system)?;
        let own =
            OwnMetrics::new(lanes.clone(), view_rx.clone(), log_stats.clone(), reporter.states());
        let (latest_tx, latest_rx) = watch::channel(Latest::default());
        let (stop_scrape, scrape) =
            start_scrape(&app.config, own, &lanes[1], (latest_tx, app.began))?;
        let mut tasks = JoinSet::new();
        if let Some(exporter) = app.exporter {
            tasks.spawn(listener::run(exporter, latest_rx));
        }
        let looker = Looker {
            identity: identity.clone(),
            lanes: lanes.clone(),
            view: view_rx.clone(),
            logs: log_stats,
            states: reporter.states(),
            began: app.began,
        };
        looker.show(&mut tasks, app.status, (pulse, notify.clone()));
        tasks.spawn(full_reports(view_rx, reporter.waker()));
        let parts = UplinkParts {
            speaker: identity.speaker(),
            config: app.config.uplink,
            dialer: app.dialer,
            lanes: lanes.clone(),
            began: app.began,
            view: view_tx,
            identity: app.identity,
        };
        let mut uplink = JoinSet::new();
        uplink.spawn(uplink::run(parts, stopped));
        Ok(Running {
            identity,
            tasks,
            uplink,
            stop_uplink,
            stop_scrape,
            scrape,
            reporter,
            log_thread,
            lanes,
            lane_threads,
        })
    }

    /// Sources first, then the uplink, then the lanes.
    async fn stop(self, departure: Departure) {
        let Running { mut tasks, mut uplink, lanes, lane_threads, .. } = self;
        let (log_thread, reporter, scrape) = (self.log_thread, self.reporter, self.scrape);
        drop(self.stop_scrape);
        let sources = tokio::task::spawn_blocking(move || {
            if let Some(log_thread) = log_thread {
                log_thread.stop();
            }
            reporter.stop(departure.reason());
            let _ = scrape.join();
        });
        let _ = sources.await;
        let last_words = async {
            flushed(&lanes).await;
            delivered(&lanes).await;
        };
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
        let _ = self.stop_uplink.send(true);
        let _ = tokio::time::timeout(LAST_WORDS, uplink.join_next()).await;
        uplink.shutdown().await;
        tasks.shutdown().await;
        drop(lanes);
        let join = move || lane_threads.into_iter().for_each(|thread| drop(thread.join()));
        let _ = tokio::task::spawn_blocking(join).await;
    }
}

/// Ends when what the sources said last is in the spools: only then it counts as something to deliver.
async fn flushed(lanes: &[LaneHandle]) {
    for flushed in lanes.iter().map(LaneHandle::flush).collect::<Vec<_>>().into_iter().flatten() {
        // A lane that ended has written what it could.
        let _ = flushed.await;
    }
}

/// Ends when the state and log lanes have nothing that an aggregator has not acked.
async fn delivered(lanes: &[LaneHandle]) {
    loop {
        let open = lanes.iter().map(|handle| handle.board.view()).any(|view| {
            view.lane != Lane::Metrics && view.durable > view.released && view.refused.is_none()
        });
        if !open {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn find_note(lane: &ClosedLane, key: &[u8]) -> Option<Vec<u8>> {
    lane.notes().find(|(found, _)| *found == key).map(|(_, value)| value.to_vec())
}

fn host_facts(config: &Config) -> HostFacts {
    HostFacts {
        datacenter: config.datacenter().to_owned(),
        role: config.host.role.clone(),
        tags: config.host.tags.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..HostFacts::default()
    }
}

type LaneThreads = (Vec<LaneHandle>, Vec<JoinHandle<()>>);

/// Threads of the lanes and of the reports are watched. Those of scrapes and log files are not: they touch what
/// belongs to the host, and one stuck mount shall not end everything else.
fn start_lanes(lanes: [ClosedLane; 3], pulse: &mut Pulse) -> Result<LaneThreads, Fatal> {
    let system = |source| Fatal::System { what: "start a thread", source };
    let mut started = LaneThreads::default();
    for (name, lane) in LANES.iter().zip(lanes) {
        let beat = pulse.beat(&format!("lane-{name}"));
        let (handle, thread) = lane.start(beat).map_err(system)?;
        started.0.push(handle);
        started.1.push(thread);
    }
    Ok(started)
}

fn start_logs(
    settings: LogSettings,
    checkpoints: Checkpoints,
    lane: &LaneHandle,
) -> Result<Option<LogHandle>, Fatal> {
    if settings.files.is_empty() && settings.journald.is_none() {
        return Ok(None);
    }
    let stop = Arc::new(AtomicBool::new(false));
    LogThread::start(&settings, checkpoints, Box::new(lane.clone()), stop)
        .map(Some)
        .map_err(|error| Fatal::Logs(Box::new(error)))
}

fn start_scrape(
    config: &Config,
    own: OwnMetrics,
    lane: &LaneHandle,
    (latest, began): (watch::Sender<Latest>, Instant),
) -> Result<(mpsc::Sender<()>, JoinHandle<()>), Fatal> {
    let system = |source| Fatal::System { what: "start a thread", source };
    let mut scraper = Scraper::new(Host::at(&config.root), MetricSettings::default());
    scraper.add_source(Box::new(own));
    let sealer = Sealer::new().map_err(|error| system(std::io::Error::other(error)))?;
    let (stop, stopped) = mpsc::channel();
    let interval = config.metrics.interval;
    let parts = ScrapeParts { scraper, interval, lane: lane.clone(), latest, began };
    let thread = std::thread::Builder::new()
        .name("scrape".into())
        .spawn(move || scrape::run(parts, sealer, &stopped))
        .map_err(system)?;
    Ok((stop, thread))
}

/// Owes every newly adopted aggregator a full report.
async fn full_reports(mut view: watch::Receiver<UplinkView>, waker: mpsc::SyncSender<Wake>) {
    let mut told = 0;
    while view.changed().await.is_ok() {
        let adopted = view.borrow().adopted;
        if adopted > told && waker.try_send(Wake::FullReport).is_ok() {
            told = adopted;
        }
    }
}

/// What the status page is made of.
#[derive(Clone)]
struct Looker {
    identity: Identity,
    lanes: Vec<LaneHandle>,
    view: watch::Receiver<UplinkView>,
    logs: Option<Arc<LogStats>>,
    states: Arc<Mutex<Vec<CheckState>>>,
    began: Instant,
}

impl Looker {
    /// Shows the status on the socket and to systemd.
    fn show(
        self,
        tasks: &mut JoinSet<()>,
        socket: UnixListener,
        (pulse, notify): (Pulse, Arc<Notify>),
    ) {
        let teller = self.clone();
        tasks.spawn(pulse.tell(notify, move || teller.look().to_string()));
        tasks.spawn(status::run(socket, move || self.look()));
    }

    fn look(&self) -> Status {
        let view = self.view.borrow().clone();
        let now = Clock::read(self.began).mono;
        let counts = self.logs.as_ref().map(|logs| logs.counts()).unwrap_or_default();
        let problems = self.logs.as_ref().map(|logs| logs.unreadable()).unwrap_or_default();
        let problem = |(path, why): &(PathBuf, String)| format!("{}: {why}", path.display());
        Status {
            host: self.identity.host.clone(),
            datacenter: self.identity.datacenter.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.began.elapsed().as_secs(),
            rss_bytes: report::own_rss_bytes().unwrap_or(0),
            uplink: view.phase.to_owned(),
            aggregator: view.aggregator,
            last_ack_s: view.served.acked_at.map(|at| now.since(at).as_secs()),
            switches: view.served.switches,
            last_switch: view.served.last_switch.map(|switch| last_switch(switch, now)),
            uplink_error: view.failure,
            lanes: self.lanes.iter().map(lane_status).collect(),
            checks: check_counts(&self.states),
            log_lines: counts.lines,
            log_files: counts.files_known,
            log_problems: problems.iter().map(problem).collect(),
        }
    }
}

fn last_switch(switch: Switch, now: Mono) -> LastSwitch {
    LastSwitch {
        ago_s: now.since(switch.at).as_secs(),
        silent_ms: u64::try_from(switch.silent.as_millis()).unwrap_or(u64::MAX),
        from: switch.from,
        to: switch.to,
    }
}

fn lane_status(handle: &LaneHandle) -> LaneStatus {
    let view = handle.board.view();
    LaneStatus {
        lane: view.lane.name().to_owned(),
        stream: view.stream.to_string(),
        frames: view.durable.0.saturating_sub(view.released.0),
        bytes: view.bytes,
        budget_bytes: view.budget_bytes,
        dropped: view.dropped,
        refused: view.refused,
    }
}

/// How many checks say what.
pub(crate) fn check_counts(states: &Mutex<Vec<CheckState>>) -> CheckCounts {
    let mut counts = CheckCounts::default();
    for state in states.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let count = match state.verdict {
            Verdict::Ok => &mut counts.ok,
            Verdict::Warn => &mut counts.warn,
            Verdict::Crit => &mut counts.crit,
            Verdict::Unknown => &mut counts.unknown,
        };
        *count += 1;
    }
    counts
}
