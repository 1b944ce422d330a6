//! Keeps names fresh in the background, so that nobody who fails over waits for a name server.
//!
//! SRV records are asked for again when their time is over; addresses of all aggregators are looked up
//! now and then, also of those that were never dialled. What was learned goes to disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::errors::chain;
use muster_proto::failover::Jitter;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::names::{Hosts, Kept, Servers, Srv, lookup_srv};

/// Records are asked for again at the earliest after this, whatever their life says.
const REFRESH_MIN: Duration = Duration::from_secs(30);
/// And at the latest.
const REFRESH_MAX: Duration = Duration::from_secs(3_600);
/// A failed question is repeated after this, doubled up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(5);
/// Longest pause of a name server that does not answer.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Addresses are looked up this often, ± 50 %.
const ADDRESSES_EVERY: Duration = Duration::from_secs(600);
/// However urgent, a name is not asked for more often. An outage makes many urgent.
const URGENT_MIN: Duration = Duration::from_secs(5);

/// A list came.
#[derive(Debug)]
pub(super) struct Found {
    /// SRV name.
    pub(super) name: String,
    /// Its records.
    pub(super) records: Vec<Srv>,
}

/// The task.
pub(super) struct Refresh {
    /// SRV names.
    pub(super) names: Vec<String>,
    /// Their records as they were kept.
    pub(super) found: BTreeMap<String, Vec<Srv>>,
    /// Host names from the configuration.
    pub(super) listed: Vec<String>,
    pub(super) hosts: Arc<Hosts>,
    /// Where the answers are kept.
    pub(super) path: PathBuf,
    /// Somebody needs fresh names now.
    pub(super) urgent: Arc<Notify>,
    pub(super) tell: mpsc::UnboundedSender<Found>,
    pub(super) jitter: Jitter,
}

/// One name's timetable.
struct Due {
    name: String,
    at: Instant,
    asked_at: Option<Instant>,
    failures: u32,
}

impl Refresh {
    /// Whether there is any name at all.
    pub(super) fn has_work(&self) -> bool {
        !self.names.is_empty() || !self.listed.is_empty()
    }

    pub(super) async fn run(mut self) {
        let now = Instant::now();
        let due = |name: &String| Due { name: name.clone(), at: now, asked_at: None, failures: 0 };
        let mut dues: Vec<Due> = self.names.iter().map(due).collect();
        let mut addresses_at = now;
        let mut written = Kept::default();
        loop {
            for due in &mut dues {
                if due.at <= Instant::now() {
                    self.ask(due).await;
                }
            }
            if addresses_at <= Instant::now() {
                self.look_up_addresses().await;
                addresses_at = Instant::now() + self.jitter.around(ADDRESSES_EVERY);
            }
            self.keep(&mut written);
            let next =
                dues.iter().map(|due| due.at).min().unwrap_or(addresses_at).min(addresses_at);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.urgent.notified() => dues.iter_mut().for_each(Due::hurry),
            }
        }
    }

    async fn ask(&mut self, due: &mut Due) {
        let answer = lookup_srv(&Servers::read(), &due.name).await;
        let now = Instant::now();
        due.asked_at = Some(now);
        match answer {
            Ok(answer) => {
                due.failures = 0;
                // Up to half as long again: a fleet that began together does not ask together.
                let life = answer.ttl.clamp(REFRESH_MIN, REFRESH_MAX);
                due.at = now + life + self.jitter.up_to(life / 2);
                self.found.insert(due.name.clone(), answer.records.clone());
                let found = Found { name: due.name.clone(), records: answer.records };
                let _ = self.tell.send(found);
            }
            Err(error) => {
                if due.failures == 0 {
                    let (name, error) = (&due.name, chain(&error));
                    tracing::warn!(name, error, "The aggregators' names cannot be looked up.");
                }
                let wait = RETRY.saturating_mul(1 << due.failures.min(8)).min(RETRY_MAX);
                due.failures += 1;
                due.at = now + self.jitter.around(wait);
            }
        }
    }

    /// One after the other: nobody waits for it.
    async fn look_up_addresses(&self) {
        let targets = self.found.values().flatten().map(|srv| &srv.target);
        for host in self.listed.iter().chain(targets) {
            // What fails is asked for again when it is dialled; who dials says so.
            let _ = self.hosts.addresses(host, 0).await;
        }
    }

    fn keep(&self, written: &mut Kept) {
        let kept = Kept { srv: self.found.clone(), hosts: self.hosts.known() };
        if kept == *written {
            return;
        }
        match kept.write(&self.path) {
            Ok(()) => *written = kept,
            Err(error) => tracing::debug!(%error, "The names are not kept."),
        }
    }
}

impl Due {
    fn hurry(&mut self) {
        let earliest = self.asked_at.map_or(self.at, |at| at + URGENT_MIN);
        self.at = self.at.min(earliest);
    }
}
