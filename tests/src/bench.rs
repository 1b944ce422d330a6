//! Speed and size beside the programs that do the same work today, measured in the same run.
//!
//! Room: `tests::bench`.  May use: `rig`.  Used by: the program `bench`, that is `make bench`.
//!
//! Every part gives rows; a row has the median of its rounds, their extremes, the goal and the peers.
//! CPU-seconds are what counts: wall time says more about the machine and about who else uses it.
//! Each round runs ours and the peers one after the other, so that a slow minute hits all of them.

mod corpus;
mod fleet;
mod idle;
mod logs;
mod report;
mod rsyslog;
mod usage;
mod wire;
mod yardstick;

pub use fleet::fleet;
pub use idle::idle;
pub use logs::logs;
pub use report::{Goal, Peer, Row, json, table};
pub use wire::wire;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Log file of the durable path. Bytes.
    pub log_bytes: u64,
    /// The part of it that goes through rsyslog's disk queue, twenty times slower. Bytes.
    pub disk_queue_bytes: u64,
    /// Rounds of the durable path.
    pub rounds: usize,
    /// How long the idle programs are watched.
    pub idle: std::time::Duration,
    /// Scrapes on the wire.
    pub scrapes: u64,
    /// Simulated agents that do nothing.
    pub idle_agents: usize,
    /// Simulated agents that arrive at once.
    pub crowd: usize,
}

impl Default for Extent {
    fn default() -> Extent {
        const MIB: u64 = 1024 * 1024;
        Extent {
            log_bytes: 600 * MIB,
            disk_queue_bytes: 48 * MIB,
            rounds: 3,
            idle: std::time::Duration::from_secs(60),
            scrapes: 40,
            idle_agents: 10_000,
            crowd: 5_000,
        }
    }
}

/// Progress, for whoever watches.
fn say(what: &str) {
    eprintln!("bench: {what}");
}
