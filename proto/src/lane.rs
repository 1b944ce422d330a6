//! Lanes: four kinds of traffic that never delay one another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One kind of traffic. Each lane has its own spool, its own QUIC stream and priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Lane {
    /// Check transitions, heartbeats, host facts, reports, gaps. Never dropped within its budget.
    State = 1,
    /// Samples. Oldest dropped and counted; backfilled with original times after an outage.
    Metrics = 2,
    /// Log lines. Backpressure to re-readable sources; volatile ones drop oldest, counted.
    Logs = 3,
    /// Snapshots for investigation, archives. Waits.
    Bulk = 4,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Lane; 4] = [Lane::State, Lane::Metrics, Lane::Logs, Lane::Bulk];

    /// The lane of a wire byte, or `None` when there is no such lane.
    pub fn from_byte(byte: u8) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| *lane as u8 == byte)
    }

    /// The lane's name in paths, labels and messages.
    pub fn name(self) -> &'static str {
        match self {
            Lane::State => "state",
            Lane::Metrics => "metrics",
            Lane::Logs => "logs",
            Lane::Bulk => "bulk",
        }
    }

    /// Priority of the lane's QUIC stream: higher goes first, strictly.
    pub fn priority(self) -> i32 {
        match self {
            Lane::State => 8,
            Lane::Metrics => 4,
            Lane::Logs => 0,
            Lane::Bulk => -5,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
