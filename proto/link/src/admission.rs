//! How many handshakes a listener takes: a pure judge that is told the time.
//!
//! Room: `link`.  May use: `proto`.  Used by: `listen`.
//!
//! Two meters. The first fills with `per_s` handshakes a second; what comes above it must first
//! prove its address, which costs us 15 µs instead of 230 and spreads the crowd by a round trip. The
//! second fills at twice that rate; above it we refuse at once, so that the dialler tries its next
//! candidate instead of waiting (silence would make all of them retry in lockstep).
//!
//! Places for unfinished handshakes are counted apart: half of them are for proven addresses only,
//! and who has held one for a second without finishing loses it when others need it.

use std::time::Duration;

use muster_proto::clock::Mono;

/// What to do with one incoming first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Begin the handshake.
    Accept,
    /// Ask it to prove its address.
    Retry,
    /// Send it away.
    Refuse,
    /// Give up the oldest unfinished handshake and begin this one.
    Replace,
}

/// What is known of an incoming first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Knock {
    /// It carries a token that proves its address.
    pub(crate) proven: bool,
    /// Unfinished handshakes at the moment.
    pub(crate) unfinished: usize,
    /// How long the oldest of them has taken.
    pub(crate) oldest: Duration,
}

/// An unfinished handshake older than this loses its place to a newcomer when all are taken. An
/// honest one takes two round trips, or as long as a storm makes everybody wait.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Admission {
    places: usize,
    first: Meter,
    second: Meter,
}

impl Admission {
    pub(crate) fn new(now: Mono, per_s: u32, places: usize) -> Admission {
        Admission {
            places,
            first: Meter::new(now, u64::from(per_s)),
            second: Meter::new(now, u64::from(per_s) * 2),
        }
    }

    pub(crate) fn judge(&mut self, now: Mono, knock: Knock) -> Verdict {
        if !self.second.take(now) {
            return Verdict::Refuse;
        }
        if knock.unfinished >= self.places {
            let stuck = knock.oldest >= PATIENCE && self.places > 0;
            return if stuck && knock.proven { Verdict::Replace } else { Verdict::Refuse };
        }
        let calm = self.first.take(now) && knock.unfinished < self.places / 2;
        match calm || knock.proven {
            true => Verdict::Accept,
            false => Verdict::Retry,
        }
    }
}

/// A token bucket that holds one second's worth.
#[derive(Debug)]
struct Meter {
    per_s: u64,
    /// Millionths of a token.
    level: u64,
    filled_since: Mono,
}

impl Meter {
    fn new(now: Mono, per_s: u64) -> Meter {
        Meter { per_s, level: per_s.saturating_mul(1_000_000), filled_since: now }
    }

    fn take(&mut self, now: Mono) -> bool {
        let gone_us = now.0.saturating_sub(self.filled_since.0).min(1_000_000);
        let full = self.per_s.saturating_mul(1_000_000);
        self.level = full.min(self.level.saturating_add(gone_us.saturating_mul(self.per_s)));
        self.filled_since = Mono(self.filled_since.0.max(now.0));
        match self.level.checked_sub(1_000_000) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Knock = Knock { proven: false, unfinished: 0, oldest: Duration::ZERO };
    const PROVEN: Knock = Knock { proven: true, ..FRESH };

    /// Sends `knocks` at one moment and counts the verdicts: accepted, retried, refused.
    fn check(admission: &mut Admission, at_us: u64, knock: Knock, knocks: usize) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..knocks {
            counts[admission.judge(Mono(at_us), knock) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_storm_is_accepted_then_retried_then_refused() {
        let mut admission = Admission::new(Mono(0), 1000, 10_000);
        assert_eq!(check(&mut admission, 0, FRESH, 5000), [1000, 1000, 3000]);
        // Half a second later half of both meters has come back.
        assert_eq!(check(&mut admission, 500_000, FRESH, 5000), [500, 500, 4000]);
        // A day later no more than one second's worth.
        assert_eq!(check(&mut admission, 86_400_000_000, FRESH, 5000), [1000, 1000, 3000]);
    }

    #[test]
    fn who_came_back_from_a_retry_is_let_in_up_to_the_second_meter() {
        let mut admission = Admission::new(Mono(0), 1000, 10_000);
        assert_eq!(check(&mut admission, 0, FRESH, 1200), [1000, 200, 0]);
        assert_eq!(check(&mut admission, 0, PROVEN, 2000), [800, 0, 1200]);
    }

    #[test]
    fn forged_first_packets_cannot_take_the_places_of_proven_ones() {
        let mut admission = Admission::new(Mono(0), 1000, 100);
        let at = |proven, unfinished| Knock { proven, unfinished, ..FRESH };
        assert_eq!(admission.judge(Mono(0), at(false, 49)), Verdict::Accept);
        assert_eq!(admission.judge(Mono(0), at(false, 50)), Verdict::Retry);
        assert_eq!(admission.judge(Mono(0), at(true, 50)), Verdict::Accept);
        assert_eq!(admission.judge(Mono(0), at(true, 99)), Verdict::Accept);
        assert_eq!(admission.judge(Mono(0), at(true, 100)), Verdict::Refuse);
    }

    #[test]
    fn a_stuck_handshake_gives_way_to_a_proven_newcomer() {
        let mut admission = Admission::new(Mono(0), 1000, 100);
        let at = |proven, oldest_ms| Knock {
            proven,
            unfinished: 100,
            oldest: Duration::from_millis(oldest_ms),
        };
        assert_eq!(admission.judge(Mono(0), at(true, 999)), Verdict::Refuse);
        assert_eq!(admission.judge(Mono(0), at(true, 1000)), Verdict::Replace);
        assert_eq!(admission.judge(Mono(0), at(false, 1000)), Verdict::Refuse);
    }

    #[test]
    fn a_clock_that_stands_or_runs_back_gives_nothing() {
        let mut admission = Admission::new(Mono(5_000_000), 10, 100);
        assert_eq!(check(&mut admission, 5_000_000, FRESH, 100), [10, 10, 80]);
        assert_eq!(check(&mut admission, 1_000_000, FRESH, 100), [0, 0, 100]);
        assert_eq!(check(&mut admission, 5_000_000, FRESH, 100), [0, 0, 100]);
    }
}
