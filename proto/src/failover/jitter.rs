//! Jitter from a seed: SplitMix64 (Steele, Lea, Flood 2014; public domain reference by S. Vigna).
//!
//! Not for secrets. It spreads a fleet, and a test can repeat it.

use std::time::Duration;

/// A stream of numbers that depends on its seed only.
#[derive(Debug, Clone)]
pub struct Jitter {
    state: u64,
}

impl Jitter {
    /// Equal seeds give equal numbers: hand in something random per host and start.
    pub fn new(seed: u64) -> Jitter {
        Jitter { state: seed }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A span from 0 to `span_max`, each equally likely, in microseconds.
    pub fn up_to(&mut self, span_max: Duration) -> Duration {
        let micros = u64::try_from(span_max.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        let scaled = (u128::from(self.number()) * u128::from(micros)) >> 64;
        Duration::from_micros(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// A span from half of `span` to one and a half of it.
    pub fn around(&mut self, span: Duration) -> Duration {
        span / 2 + self.up_to(span)
    }
}

/// SplitMix64's finisher: every bit of the input moves half of the output's.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_reference() {
        let mut jitter = Jitter::new(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| jitter.number()).collect();
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn spans_stay_within_and_fill_their_range() {
        let mut jitter = Jitter::new(7);
        let span = Duration::from_millis(100);
        let spans: Vec<_> = (0..1_000).map(|_| jitter.up_to(span)).collect();
        assert!(spans.iter().all(|s| *s <= span));
        assert!(spans.iter().any(|s| *s < span / 10) && spans.iter().any(|s| *s > span * 9 / 10));
        assert_eq!(jitter.up_to(Duration::ZERO), Duration::ZERO);
        let around: Vec<_> = (0..1_000).map(|_| jitter.around(span)).collect();
        assert!(around.iter().all(|s| *s >= span / 2 && *s <= span * 3 / 2));
    }
}
