//! Where the uplink stands, for the rest of the agent to see.

use muster_proto::failover::Phase;

use super::{Pump, Served};

/// What the rest of the agent may know of the uplink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UplinkView {
    /// `live`, `away`, `connecting`, `offline`.
    pub phase: &'static str,
    /// Aggregator that is live; empty when none is.
    pub aggregator: String,
    /// How many connections have been adopted: a full report is due when it moves.
    pub adopted: u64,
    /// Who acks, since when, and how long nobody did.
    pub served: Served,
    /// Why the last attempt failed; empty when live.
    pub failure: String,
}

impl Pump {
    /// Shows where both machines stand; who watches wakes only when something moved.
    pub(super) fn show(&mut self) {
        let phase = match self.failover.phase() {
            Phase::LiveHome => "live",
            Phase::LiveAway => "away",
            Phase::Drain => "live",
            Phase::Resolve | Phase::Race => "connecting",
            Phase::Backoff => "offline",
        };
        let aggregator = self.live_try().map(|found| found.aggregator.clone()).unwrap_or_default();
        let failure = if self.live.is_some() { "" } else { self.failover.last_failure() };
        let view = UplinkView {
            phase,
            aggregator,
            adopted: self.adopted,
            served: self.served.clone(),
            failure: failure.to_owned(),
        };
        self.parts.view.send_if_modified(|shown| {
            let moved = *shown != view;
            *shown = view;
            moved
        });
    }
}
