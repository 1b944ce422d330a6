//! The state lane's source: heartbeats, host facts, checks, gaps; a full report to a new aggregator.
//!
//! Room: `agent::report`.  May use: `checks`, `facts`, `lanes`, `uplink` (its view).  Used by: `app`.
//!
//! One plain thread, because gathering facts blocks. It wakes when something is due and at no other
//! time.
//!
//! Invariants
//! - A transition that finds no room in the lane is not lost: a full report is owed and follows.
//! - The memory of the checks is committed with the frame that tells of them.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_link::IdentityStore;
use muster_program::pulse::Beat;
use muster_proto::clock::{Mono, Utc};
use muster_proto::errors::chain;
use muster_proto::frame::{BodyFacts, Kind, Sealed, Sealer};
use muster_proto::ids::Seq;
use muster_proto::lane::Lane;
use muster_proto::state::{
    Backlog, CheckState, Gap, Heartbeat, HostFacts, StateBatch, StateRecord, encode_state,
};
use tokio::sync::watch;

use crate::checks::own::{CertificateFacts, LogFacts, OwnFacts, SpoolFacts, UplinkFacts};
use crate::checks::{Board, Gatherer, Kept, ROUND_EVERY, Settings};
use crate::facts::clock::Clock;
use crate::host::Host;
use crate::lanes::{Deposit, Dropped, LaneHandle};
use crate::logs::LogStats;
use crate::uplink::UplinkView;

/// The first round waits this long, so that it finds the uplink connected if it can be.
const FIRST_ROUND: Duration = Duration::from_millis(700);
/// A full report is made at least this often, so that a lost one heals.
const FULL_REPORT_EVERY: Duration = Duration::from_secs(600);
/// Note in the state lane that holds the memory of the checks.
const KEPT_NOTE: &[u8] = b"checks/kept";
/// Wakes that wait for the thread. One of each kind is enough.
const WAKES_MAX: usize = 4;

/// What wakes the thread before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// A new aggregator needs everything.
    FullReport,
    /// The last one: say goodbye with this reason.
    Stop(&'static str),
}

/// What the thread needs.
pub struct ReportParts {
    /// The machine.
    pub host: Host,
    /// Who the operator says we are; the rest of the facts is read.
    pub identity: HostFacts,
    /// Thresholds, owners, runbooks.
    pub settings: Settings,
    /// Memory of the checks of an earlier run.
    pub kept: Option<Kept>,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// All lanes, for backlogs and gaps; one of them is the state lane.
    pub lanes: Vec<LaneHandle>,
    /// Our certificate.
    pub certificate: Arc<IdentityStore>,
    /// What the log thread counts.
    pub logs: Option<Arc<LogStats>>,
    /// Where the uplink stands.
    pub uplink: watch::Receiver<UplinkView>,
    /// Zero of monotonic time.
    pub began: Instant,
    /// Says that this thread does not hang.
    pub beat: Beat,
}

/// The running thread.
pub struct Reporter {
    wakes: SyncSender<Wake>,
    states: Arc<Mutex<Vec<CheckState>>>,
    thread: JoinHandle<()>,
}

impl Reporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system has no thread to give, or zstd no memory.
    pub fn start(parts: ReportParts) -> std::io::Result<Reporter> {
        let (wakes, receiver) = sync_channel(WAKES_MAX);
        let states = Arc::new(Mutex::new(Vec::new()));
        let sealer = Sealer::new().map_err(std::io::Error::other)?;
        let report = Report::new(parts, sealer, states.clone());
        let thread = std::thread::Builder::new()
            .name("report".into())
            .spawn(move || report.run(&receiver))?;
        Ok(Reporter { wakes, states, thread })
    }

    /// Wakes the thread; a full queue means that it is about to wake anyway.
    pub fn wake(&self, wake: Wake) {
        if let Err(TrySendError::Full(Wake::Stop(reason))) = self.wakes.try_send(wake) {
            let _ = self.wakes.send(Wake::Stop(reason));
        }
    }

    /// What every check says now.
    pub fn states(&self) -> Arc<Mutex<Vec<CheckState>>> {
        self.states.clone()
    }

    /// A sender of wakes for others.
    pub fn waker(&self) -> SyncSender<Wake> {
        self.wakes.clone()
    }

    /// Says goodbye and waits for the end of the thread.
    pub fn stop(self, reason: &'static str) {
        self.wake(Wake::Stop(reason));
        let _ = self.thread.join();
    }
}

/// Memory of the checks as the state lane's notes have it.
pub fn kept_in(note: Option<&[u8]>) -> Option<Kept> {
    serde_json::from_slice(note?).ok()
}

/// The key under which the state lane keeps the memory of the checks.
pub fn kept_note() -> &'static [u8] {
    KEPT_NOTE
}

struct Report {
    parts: ReportParts,
    sealer: Sealer,
    board: Board,
    gatherer: Gatherer,
    states: Arc<Mutex<Vec<CheckState>>>,
    facts: HostFacts,
    /// Something found no room: everything is told again.
    owes_full: bool,
    /// The first round is over.
    has_looked: bool,
    full_at: Instant,
}

impl Report {
    fn new(mut parts: ReportParts, sealer: Sealer, states: Arc<Mutex<Vec<CheckState>>>) -> Report {
        let settings = std::mem::take(&mut parts.settings);
        let board = match parts.kept.take() {
            Some(kept) => Board::restore(settings, kept),
            None => Board::new(settings),
        };
        let gatherer = Gatherer::default();
        let full_at = Instant::now();
        let facts = HostFacts::default();
        Report {
            parts,
            sealer,
            board,
            gatherer,
            states,
            facts,
            owes_full: false,
            has_looked: false,
            full_at,
        }
    }

    fn run(mut self, wakes: &Receiver<Wake>) {
        let mut check_at = Instant::now() + FIRST_ROUND;
        let mut heartbeat_at = Instant::now();
        loop {
            self.parts.beat.works();
            let now = Instant::now();
            if now >= check_at {
                self.round();
                self.has_looked = true;
                check_at = now + ROUND_EVERY;
            }
            if now >= heartbeat_at {
                self.beat();
                heartbeat_at = now + self.parts.heartbeat;
            }
            let is_due = self.owes_full || now.duration_since(self.full_at) >= FULL_REPORT_EVERY;
            // Before the first round a full report would say that there is no check at all.
            if is_due && self.has_looked {
                self.full_report();
            }
            let due = check_at.min(heartbeat_at);
            self.parts.beat.rests();
            match wakes.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Wake::FullReport) => self.owes_full = true,
                Ok(Wake::Stop(reason)) => return self.goodbye(reason),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn clock(&self) -> Clock {
        Clock::read(self.parts.began)
    }

    fn round(&mut self) {
        let clock = self.clock();
        let own = self.own_facts(clock);
        let case = self.gatherer.gather(&self.parts.host, clock, Some(own));
        let records = self.board.round(clock, case);
        *self.states.lock().unwrap_or_else(PoisonError::into_inner) = self.board.states();
        let facts = self.read_facts();
        if facts != self.facts {
            self.facts = facts;
            self.owes_full = true;
        }
        if !records.is_empty() && !self.owes_full {
            self.send(records, true);
        }
    }

    fn read_facts(&self) -> HostFacts {
        let identity = self.parts.identity.clone();
        let nature = crate::facts::nature::read(&self.parts.host);
        HostFacts {
            datacenter: identity.datacenter,
            role: identity.role,
            tags: identity.tags,
            agent_version: identity.agent_version,
            ..nature
        }
    }

    fn beat(&mut self) {
        let at = self.clock().utc;
        // Told with the next beat when this one finds no room.
        let gaps: Vec<_> = self.parts.lanes.iter().map(|lane| lane.board.take_gaps()).collect();
        let mut records = self.gap_records(&gaps, at);
        let interval_s = u32::try_from(self.parts.heartbeat.as_secs()).unwrap_or(u32::MAX);
        let backlog = self.parts.lanes.iter().map(backlog_of).collect();
        records.push(StateRecord::Heartbeat(Heartbeat { at, interval_s, backlog }));
        if !self.send(records, false) {
            for (lane, untold) in self.parts.lanes.iter().zip(gaps) {
                lane.board.put_back_gaps(untold);
            }
        }
    }

    /// What the lanes dropped, one list a lane.
    fn gap_records(&self, gaps: &[Vec<Dropped>], at: Utc) -> Vec<StateRecord> {
        let lanes = self.parts.lanes.iter().zip(gaps);
        let records = lanes.flat_map(|(lane, gaps)| {
            gaps.iter().map(move |dropped| {
                StateRecord::Gap(Gap {
                    lane: lane.board.lane,
                    stream: lane.board.stream,
                    from: dropped.from,
                    to: dropped.to,
                    records: dropped.records,
                    why: dropped.why.to_owned(),
                    at,
                })
            })
        });
        records.collect()
    }

    fn full_report(&mut self) {
        let clock = self.clock();
        let mut records = vec![StateRecord::Facts(self.facts.clone())];
        records.extend(self.board.full_report(clock));
        self.owes_full = false;
        self.full_at = Instant::now();
        self.send(records, true);
    }

    fn goodbye(mut self, reason: &str) {
        let bye = StateRecord::Bye { at: self.clock().utc, reason: reason.to_owned() };
        self.send(vec![bye], true);
    }

    /// Hands a batch to the state lane; says whether it took it.
    fn send(&mut self, records: Vec<StateRecord>, with_memory: bool) -> bool {
        let Some(lane) = self.parts.lanes.iter().find(|handle| handle.board.lane == Lane::State)
        else {
            return false;
        };
        let lane = lane.clone();
        match self.seal(records) {
            Ok(sealed) => {
                let notes = if with_memory { self.memory() } else { Vec::new() };
                let deposit = Deposit { sealed: Some(sealed), dict: None, notes };
                let is_taken = lane.try_deposit(deposit).is_ok();
                self.owes_full |= with_memory && !is_taken;
                is_taken
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "A report cannot be sealed.");
                false
            }
        }
    }

    fn seal(
        &mut self,
        records: Vec<StateRecord>,
    ) -> Result<Sealed, muster_proto::frame::SealError> {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let at = self.clock().utc;
        let body = encode_state(&StateBatch { records });
        let facts =
            BodyFacts { kind: Kind::State, dict: 0, records: count, first_at: at, last_at: at };
        self.sealer.seal(facts, &body)
    }

    fn memory(&self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        match serde_json::to_vec(&self.board.kept()) {
            Ok(kept) => vec![(KEPT_NOTE.to_vec(), Some(kept))],
            Err(_) => Vec::new(),
        }
    }

    fn own_facts(&self, clock: Clock) -> OwnFacts {
        let spools = self.parts.lanes.iter().map(|handle| {
            let view = handle.board.view();
            SpoolFacts {
                lane: view.lane,
                used_bytes: view.bytes,
                budget_bytes: view.budget_bytes,
                write_error: view.refused,
                dropped: view.dropped,
            }
        });
        let counts = self.parts.logs.as_ref().map(|stats| stats.counts()).unwrap_or_default();
        OwnFacts {
            spools: spools.collect(),
            uplink: Some(self.uplink_facts(clock)),
            certificate: Some(self.certificate_facts()),
            rss_bytes: own_rss_bytes(),
            log_files: counts.files_known,
            log_lost_bytes: counts.lost_bytes,
            logs: self.log_facts(),
        }
    }

    fn uplink_facts(&self, clock: Clock) -> UplinkFacts {
        let view = self.parts.uplink.borrow().clone();
        let ago = |at: Mono| clock.utc.before(clock.mono.since(at));
        UplinkFacts {
            connected_to: Some(view.aggregator).filter(|aggregator| !aggregator.is_empty()),
            is_home: view.phase == "live",
            last_ack_at: view.served.acked_at.map(ago),
            started_at: ago(Mono(0)),
            has_unacked: self.parts.lanes.iter().any(|handle| {
                let view = handle.board.view();
                view.durable > view.released
            }),
            last_error: Some(view.failure).filter(|failure| !failure.is_empty()),
        }
    }

    fn certificate_facts(&self) -> CertificateFacts {
        let identity = self.parts.certificate.identity();
        let (issued_at, expires_at) = (identity.me().valid_from, identity.expires_at());
        CertificateFacts { issued_at, expires_at }
    }

    fn log_facts(&self) -> Vec<LogFacts> {
        let Some(stats) = &self.parts.logs else { return Vec::new() };
        let mut found: BTreeMap<std::path::PathBuf, LogFacts> = BTreeMap::new();
        let mut fact = |path: std::path::PathBuf, set: &dyn Fn(&mut LogFacts)| {
            let name = path.display().to_string();
            set(found.entry(path).or_insert(LogFacts { name, ..LogFacts::default() }));
        };
        for (path, why) in stats.unreadable() {
            fact(path, &|fact| fact.unreadable = Some(why.clone()));
        }
        for (path, bytes) in stats.behind() {
            fact(path, &|fact| fact.behind_bytes = bytes);
        }
        found.into_values().collect()
    }
}

fn backlog_of(handle: &LaneHandle) -> Backlog {
    let view = handle.board.view();
    let Seq(frames) = Seq(view.durable.0.saturating_sub(view.released.0));
    Backlog { lane: view.lane, frames, bytes: view.bytes, dropped: view.dropped }
}

/// Resident memory of this process, bytes (proc_pid_statm(5), second field, in pages).
pub fn own_rss_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * procfs::page_size())
}
