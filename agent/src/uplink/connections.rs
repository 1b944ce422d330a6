//! Which aggregator the agent is connected to: obeys the failover machine.
//!
//! Each attempt is a task with a number; the one that was adopted is the live connection. What the
//! machine orders is done here at once; how it ends comes back as an event of the pump.

use std::time::Duration;

use muster_link::Close;
use muster_proto::clock::Mono;
use muster_proto::control::{Hello, Welcome};
use muster_proto::failover::Order as Choice;
use tokio::task::AbortHandle;

use super::Pump;
use super::attempt::{self, Attempt, Line};

/// A probe that takes longer has failed.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);

/// One attempt and what has become of it.
pub(super) struct Try {
    pub(super) task: AbortHandle,
    pub(super) aggregator: String,
    pub(super) line: Option<Box<Line>>,
    pub(super) welcome: Option<Welcome>,
}

impl Pump {
    pub(super) fn choose(&mut self, choice: Choice) {
        let now = self.now();
        match choice {
            Choice::Resolve => {
                self.road_wanted.notify_one();
                // What is known goes on; what comes later is told as it comes. The first time a list
                // that is not known yet is waited for, or the agent would begin away from home.
                if self.roster.is_complete() || std::mem::replace(&mut self.resolved_once, true) {
                    self.failover.on_resolved(now, &self.roster.datacenters());
                }
            }
            Choice::Dial { attempt, datacenter, aggregator } => {
                self.dial(attempt, datacenter, aggregator)
            }
            Choice::Cancel { attempt } => {
                if let Some(found) = self.tries.remove(&attempt) {
                    found.task.abort();
                    if let Some(line) = found.line {
                        line.connection.close(Close::Normal, "not needed");
                    }
                }
            }
            Choice::Quiesce => self.uplink.on_drain(),
            Choice::Resume => self.uplink.on_resume(),
            Choice::Adopt { attempt } => self.adopt(now, attempt),
            Choice::Close { attempt, leave } => self.close(attempt, leave.name()),
            Choice::Probe { probe, datacenter, aggregator } => {
                self.probe(probe, datacenter, &aggregator)
            }
        }
    }

    fn dial(&mut self, attempt: Attempt, datacenter: usize, aggregator: String) {
        let Some(target) = self.roster.target(datacenter, &aggregator) else {
            let now = self.now();
            return self.failover.on_lost(now, attempt, "not in the list any more");
        };
        tracing::debug!(aggregator, attempt, "Dialling.");
        let hello = self.hello(false);
        let task = attempt::run(attempt, self.road.clone(), target, hello, self.attempt_tx.clone());
        let task = self.tasks.spawn(task);
        self.tries.insert(attempt, Try { task, aggregator, line: None, welcome: None });
    }

    fn hello(&self, probe: bool) -> Hello {
        let roots = Some(self.parts.identity.roots_held());
        Hello { epoch: self.epoch, turn: self.now().0, roots, ..self.uplink.hello(probe) }
    }

    fn probe(&mut self, probe: u32, datacenter: usize, aggregator: &str) {
        let Some(target) = self.roster.target(datacenter, aggregator) else { return };
        let (road, hello, tell) = (self.road.clone(), self.hello(true), self.probe_tx.clone());
        self.tasks.spawn(async move {
            let asked = attempt::probe(&road, &target, hello);
            let ok = matches!(tokio::time::timeout(PROBE_PATIENCE, asked).await, Ok(Ok(())));
            let _ = tell.send((probe, ok));
        });
    }

    fn adopt(&mut self, now: Mono, attempt: Attempt) {
        let Some(found) = self.tries.get_mut(&attempt) else {
            return self.failover.on_lost(now, attempt, "lost before it was adopted");
        };
        let Some(welcome) = found.welcome.take() else { return };
        tracing::info!(
            aggregator = found.aggregator,
            datacenter = welcome.datacenter,
            "Connected."
        );
        self.live = Some(attempt);
        self.writers.clear();
        self.adopted += 1;
        self.seen_datagrams = 0;
        self.uplink.on_welcome(now, &welcome);
        self.look_at_lanes();
    }

    pub(super) fn lose_live(&mut self, now: Mono) {
        tracing::warn!(why = self.failover.last_failure(), "The connection is lost.");
        self.live = None;
        self.writers.clear();
        self.uplink.on_disconnected(now);
    }

    /// Leaves a connection. The close carries the reason: a Bye before it would be overtaken by it.
    pub(super) fn close(&mut self, attempt: Attempt, reason: &str) {
        if let Some(found) = self.tries.remove(&attempt) {
            if let Some(line) = found.line {
                line.connection.close(Close::Normal, reason);
            }
            found.task.abort();
        }
    }

    pub(super) fn live_try(&self) -> Option<&Try> {
        self.tries.get(&self.live?)
    }

    pub(super) fn count_datagrams(&mut self) {
        let Some(line) = self.live_try().and_then(|found| found.line.as_ref()) else { return };
        let seen = line.connection.datagrams_received();
        if seen != self.seen_datagrams {
            self.seen_datagrams = seen;
            let now = self.now();
            self.uplink.on_rx(now);
        }
    }
}
