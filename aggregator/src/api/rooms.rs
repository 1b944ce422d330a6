//! What the API asks: the roster, the stores, the peers.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_proto::clock::Utc;
use muster_proto::state::CheckState;
use tokio::sync::Semaphore;

use super::ask::{Granted, LogAsk, SeriesAsk};
use super::fleet::Peers;
use super::problem::Problem;
use super::rows::{LogRow, LogsPart, SeriesRow};
use crate::incidents::Incidents;
use crate::roster::Roster;
use crate::roster::leases::Leases;

/// Questions that are worked on at once. Each may hold a thread and its answer in memory.
pub const QUESTIONS_MAX: usize = 16;

/// Everything the API may ask. Made once by the app and shared.
pub struct Rooms {
    /// This aggregator's name.
    pub name: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: Utc,
    /// The roll of the fleet. Locked for as long as rows are copied out.
    pub roster: Arc<Mutex<Roster>>,
    /// What all aggregators together know of the hosts.
    pub leases: Arc<Mutex<Leases>>,
    /// What is wrong with the fleet.
    pub incidents: Arc<Mutex<Incidents>>,
    /// Log lines and series.
    pub telemetry: Arc<dyn Telemetry>,
    /// Other aggregators.
    pub peers: Arc<dyn Peers>,
    /// Log classes that need a grant.
    pub restricted: BTreeSet<String>,
    /// This aggregator's own metrics, Prometheus text.
    pub own: Arc<dyn Fn() -> String + Send + Sync>,
    /// What this aggregator's checks of itself say.
    pub own_checks: Arc<dyn Fn() -> Vec<CheckState> + Send + Sync>,
    /// What the time is.
    pub clock: fn() -> Utc,
    /// [`QUESTIONS_MAX`] turns.
    pub turns: Arc<Semaphore>,
}

/// The stores, as far as the API asks them. Calls block.
pub trait Telemetry: Send + Sync {
    /// Gives lines to `out` in the order asked for until it breaks, the budget is spent or the search ends.
    /// `out` decides about classes and the limit.
    ///
    /// # Errors
    /// [`TelemetryError`].
    fn search_logs(
        &self,
        ask: &LogAsk,
        search: &Search,
        out: &mut dyn FnMut(LogRow) -> ControlFlow<()>,
    ) -> Result<Searched, TelemetryError>;

    /// Last values, or ranges, of the selected series, each once.
    ///
    /// # Errors
    /// [`TelemetryError`].
    fn series(&self, ask: &SeriesAsk, search: &Search) -> Result<Vec<SeriesRow>, TelemetryError>;
}

/// How a search of logs went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Searched {
    /// Text looked through. Bytes.
    pub scanned_bytes: u64,
    /// Why not everything was looked at.
    pub truncated: Option<String>,
}

/// Why the stores have no answer.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The question has a mistake.
    #[error("{0}")]
    Question(String),
    /// The answer would be too large.
    #[error("{0}")]
    TooMuch(String),
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<TelemetryError> for Problem {
    fn from(error: TelemetryError) -> Problem {
        match error {
            TelemetryError::Question(detail) => Problem::question(detail),
            TelemetryError::TooMuch(detail) => Problem::too_much(detail),
            TelemetryError::Store(source) => Problem::ours(format!("the store failed: {source}")),
        }
    }
}

/// How long a search may take, and whether anybody still waits for it.
#[derive(Debug, Clone)]
pub struct Search {
    until: Instant,
    cancelled: Arc<AtomicBool>,
}

impl Search {
    /// A search that may take `wait` from now.
    pub fn new(wait: Duration) -> Search {
        Search { until: Instant::now() + wait, cancelled: Arc::default() }
    }

    /// Time is up.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Nobody waits for it.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Cancels the search when dropped.
    pub(super) fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(Arc::clone(&self.cancelled))
    }
}

pub(super) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Rooms {
    /// Refuses a question that names a class the reader was not granted.
    pub(super) fn check_classes(&self, ask: &LogAsk) -> Result<(), Problem> {
        match ask.classes.iter().find(|class| !self.may_read(&ask.granted, class)) {
            Some(class) => Err(Problem::forbidden(format!("log class `{class}` is restricted"))),
            None => Ok(()),
        }
    }

    fn may_read(&self, granted: &Granted, class: &str) -> bool {
        match granted {
            Granted::All => true,
            Granted::Named(names) => !self.restricted.contains(class) || names.contains(class),
        }
    }

    /// Searches the logs for what the reader may see, up to the limit and to `bytes_max` of rows.
    pub(super) fn search_logs(
        &self,
        ask: &LogAsk,
        search: &Search,
        bytes_max: usize,
    ) -> Result<LogsPart, Problem> {
        let mut part = LogsPart::default();
        let mut bytes = 0;
        let mut full = false;
        let searched = self.telemetry.search_logs(ask, search, &mut |row| {
            if !self.may_read(&ask.granted, &row.class) {
                return ControlFlow::Continue(());
            }
            bytes += row.text.len() + ROW_COST_BYTES;
            part.lines.push(row);
            full = bytes >= bytes_max;
            part.limited = part.lines.len() >= ask.limit;
            if part.limited || full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        part.scanned_bytes = searched.scanned_bytes;
        part.truncated = searched.truncated.or(full.then(|| "bytes".to_owned()));
        Ok(part)
    }
}

/// What a row costs beside its text. Bytes.
const ROW_COST_BYTES: usize = 256;

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms").field("name", &self.name).finish_non_exhaustive()
    }
}
