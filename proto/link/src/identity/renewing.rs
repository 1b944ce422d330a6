//! When a certificate is to be renewed: at two thirds of its life, or when its authority issues no more. Pure.
//!
//! Room: `link`.  Used by: the agent's uplink, the aggregator's authority.

use muster_proto::clock::Utc;

use super::Identity;
use crate::peer::Role;

/// Longest time over which hosts renew after their authority has changed, whatever the list says. Seconds.
const SPREAD_S_MAX: u32 = 7 * 24 * 3600;

/// When one holder renews. One for each process: its jitter keeps a fleet from coming at once.
#[derive(Debug)]
pub struct RenewalClock {
    jitter: u64,
    outdated_since: Option<Utc>,
}

impl RenewalClock {
    /// `jitter` is any number that differs between hosts.
    pub fn new(jitter: u64) -> RenewalClock {
        RenewalClock { jitter, outdated_since: None }
    }

    /// Whether it is time now. When the authority has changed, the wait is counted from the moment this was first
    /// seen here, so that hosts that hear of it together do not come together, however late they hear of it.
    pub fn is_due(&mut self, identity: &Identity, now: Utc) -> bool {
        if now >= identity.renew_at(self.jitter) {
            return true;
        }
        if identity.is_current() {
            self.outdated_since = None;
            return false;
        }
        // A clock that was set back counts anew.
        let since = self.outdated_since.filter(|since| *since <= now).unwrap_or(now);
        self.outdated_since = Some(since);
        // Few, and new tokens name the authority that issues: newcomers must see its certificate soon.
        if identity.role() == Role::Aggregator {
            return true;
        }
        let spread_s = identity.list().map_or(0, |list| list.spread_s).min(SPREAD_S_MAX);
        let spread_us = u64::from(spread_s) * 1_000_000;
        let wait_us = i64::try_from(self.jitter % spread_us.max(1)).unwrap_or(0);
        now.0 >= since.0.saturating_add(wait_us)
    }
}
