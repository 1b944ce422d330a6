//! Every span of the failover machine, with its default and its reason.

use std::time::Duration;

/// Spans of [`Failover`](super::Failover). Defaults are for a fleet of thousands; a demo may shorten
/// `away_after`, `home_stable`, `probe_every` and `home_spread` to seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Names not resolved after this long: go on with what is known. Default 5 s.
    pub resolve_max: Duration,
    /// The second choice is dialled this long after the first. Default 250 ms.
    pub stagger: Duration,
    /// No handshake, and after it no Welcome, for this long: it counts as failed and others are tried.
    /// The attempt itself goes on for `attempt_max`. Home datacenter. Default 700 ms.
    pub connect_home_max: Duration,
    /// The same for other datacenters. Default 1.5 s.
    pub connect_away_max: Duration,
    /// An attempt is given up after this. Default 10 s. In a crowd everybody is slow: who gives up early
    /// and dials again throws away what was done for him, and the crowd never ends.
    pub attempt_max: Duration,
    /// After a loss or a suspicion the first dial waits up to this, so that the hosts of a dead
    /// aggregator do not arrive in one moment. Default 100 ms.
    pub lost_spread: Duration,
    /// A datacenter is given up when all its aggregators were tried and the first of them failed
    /// this long ago. Default 1 s. `0`: as soon as each was tried.
    pub away_after: Duration,
    /// While away, the datacenters before the present one are probed this often, ± 50 %. Default 30 s.
    pub probe_every: Duration,
    /// A better datacenter must have answered every probe for this long, and two at least. Default
    /// 120 s. Doubles with every return that does not last, up to `home_stable_max`.
    pub home_stable: Duration,
    /// Cap of the doubling. Default 1 h.
    pub home_stable_max: Duration,
    /// A return that does not last this long counts as a failed one. Default 10 min.
    pub home_proof: Duration,
    /// The return then waits up to this, so that a fleet does not arrive at once. Default 300 s.
    pub home_spread: Duration,
    /// Moving politely: the old connection gets this long to have its frames acked. Default 5 s.
    pub drain_max: Duration,
    /// A connection that lasts this long has proved itself. Default 10 s.
    pub settled: Duration,
    /// Nothing reachable: wait up to this, doubled each round. Default 500 ms.
    pub backoff: Duration,
    /// Cap of the doubling. Default 30 s.
    pub backoff_max: Duration,
    /// Least wait between two rounds, whatever the jitter says. Default 50 ms.
    pub backoff_min: Duration,
    /// A connection this old (± 20 %) looks for a better aggregator in its own datacenter, so that
    /// load evens out after restarts. Default 12 h.
    pub age_max: Duration,
    /// An aggregator that has no room is asked again after up to this, doubled each time. Default 500 ms.
    pub busy_wait: Duration,
    /// Cap of the doubling. Default 8 s.
    pub busy_wait_max: Duration,
    /// A datacenter that lives but has no room is waited for this long, then it counts as failed.
    /// Default 60 s.
    pub busy_max: Duration,
    /// A connection to an aggregator that is no longer listed moves within this. Default 60 s.
    pub unlisted_spread: Duration,
    /// Longest `retry_after` of a Drain that is believed. Default 10 min.
    pub retry_after_max: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            resolve_max: Duration::from_secs(5),
            stagger: Duration::from_millis(250),
            connect_home_max: Duration::from_millis(700),
            connect_away_max: Duration::from_millis(1_500),
            attempt_max: Duration::from_secs(10),
            lost_spread: Duration::from_millis(100),
            away_after: Duration::from_secs(1),
            probe_every: Duration::from_secs(30),
            home_stable: Duration::from_secs(120),
            home_stable_max: Duration::from_secs(3_600),
            home_proof: Duration::from_secs(600),
            home_spread: Duration::from_secs(300),
            drain_max: Duration::from_secs(5),
            settled: Duration::from_secs(10),
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            backoff_min: Duration::from_millis(50),
            age_max: Duration::from_secs(12 * 3_600),
            busy_wait: Duration::from_millis(500),
            busy_wait_max: Duration::from_secs(8),
            busy_max: Duration::from_secs(60),
            unlisted_spread: Duration::from_secs(60),
            retry_after_max: Duration::from_secs(600),
        }
    }
}
