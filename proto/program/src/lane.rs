//! A lane on the command line.

use clap::ValueEnum;
use muster_proto::lane::Lane;

/// A lane that has a spool, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LaneName {
    /// Check transitions, heartbeats, facts.
    State,
    /// Samples.
    Metrics,
    /// Log lines.
    Logs,
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Lane {
        match name {
            LaneName::State => Lane::State,
            LaneName::Metrics => Lane::Metrics,
            LaneName::Logs => Lane::Logs,
        }
    }
}
