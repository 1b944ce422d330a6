//! What counters and gauges were over the last hour, so that a check can ask for a rate. Pure.
//!
//! Invariants
//! - A counter that went back was reset: what it shows now is what was added since.
//! - Memory is bounded: [`SERIES_MAX`] series of [`SAMPLES_MAX`] samples, and a series nobody adds to is dropped.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use muster_proto::clock::Mono;

/// Series kept. Count. Interfaces, units and devices of a large host; further ones are not kept.
pub const SERIES_MAX: usize = 4096;
/// Samples of one series. Count. With [`APART_MIN`] this is at least 20 minutes.
pub const SAMPLES_MAX: usize = 120;
/// Least time between two samples of a series.
pub const APART_MIN: Duration = Duration::from_secs(10);
/// Samples and series older than this are dropped.
pub const AGE_MAX: Duration = Duration::from_secs(3600);

/// Samples by series.
#[derive(Debug, Default)]
pub struct History {
    series: BTreeMap<String, VecDeque<(Mono, f64)>>,
}

impl History {
    /// Adds a sample. The newest one is always kept; of those closer than [`APART_MIN`] only the last.
    pub fn add(&mut self, now: Mono, name: &str, value: f64) {
        if !self.series.contains_key(name) {
            if self.series.len() >= SERIES_MAX {
                return;
            }
            self.series.insert(name.to_owned(), VecDeque::new());
        }
        let Some(samples) = self.series.get_mut(name) else { return };
        // The last sample gives way while it stands too close to the one before it.
        if let [.., before, last] = samples.make_contiguous()
            && last.0.since(before.0) < APART_MIN
        {
            samples.pop_back();
        }
        samples.push_back((now, value));
        while samples.len() > SAMPLES_MAX
            || samples.front().is_some_and(|s| now.since(s.0) > AGE_MAX)
        {
            samples.pop_front();
        }
    }

    /// Drops series nobody added to for [`AGE_MAX`]: the device is gone.
    pub fn forget_old(&mut self, now: Mono) {
        self.series
            .retain(|_, samples| samples.back().is_some_and(|last| now.since(last.0) <= AGE_MAX));
    }

    /// How fast several counters grew together within the window, a second. `None` as long as none of
    /// them has two samples.
    pub fn rate(&self, names: &[&str], window: Duration) -> Option<f64> {
        let growths = names.iter().filter_map(|name| self.growth(name, window));
        growths.map(Growth::per_second).reduce(|sum, rate| sum + rate)
    }

    /// How much a counter grew within the window up to its newest sample, and over how long.
    /// `None` before the second sample.
    pub fn growth(&self, name: &str, window: Duration) -> Option<Growth> {
        let samples = self.series.get(name)?;
        let (newest, _) = *samples.back()?;
        let recent = samples.iter().rev().take_while(|(at, _)| newest.since(*at) <= window);
        let (mut grown, mut later, mut first) = (0.0, None, newest);
        for &(at, value) in recent {
            if let Some(later) = later {
                grown += if later >= value { later - value } else { later };
            }
            (later, first) = (Some(value), at);
        }
        let span = newest.since(first);
        (!span.is_zero()).then_some(Growth { grown, span })
    }

    /// What a gauge changed by between its oldest and newest sample within the window, and over how long.
    pub fn change(&self, name: &str, window: Duration) -> Option<Growth> {
        let samples = self.series.get(name)?;
        let (newest, value) = *samples.back()?;
        let (first, old) = *samples.iter().find(|(at, _)| newest.since(*at) <= window)?;
        let span = newest.since(first);
        (!span.is_zero()).then_some(Growth { grown: value - old, span })
    }

    /// The smallest and largest value of a gauge within the window up to its newest sample.
    pub fn range(&self, name: &str, window: Duration) -> Option<(f64, f64)> {
        let samples = self.series.get(name)?;
        let (newest, value) = *samples.back()?;
        let recent = samples.iter().rev().take_while(|(at, _)| newest.since(*at) <= window);
        Some(
            recent.fold((value, value), |(low, high), (_, value)| {
                (low.min(*value), high.max(*value))
            }),
        )
    }
}

/// What a counter grew by; of a gauge also less than nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// In the counter's unit.
    pub grown: f64,
    /// Between the first and the last sample; never zero.
    pub span: Duration,
}

impl Growth {
    /// A second's worth.
    pub fn per_second(self) -> f64 {
        self.grown / self.span.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Mono {
        Mono(second * 1_000_000)
    }

    #[test]
    fn a_counter_that_went_back_was_reset() {
        let mut history = History::default();
        assert_eq!(history.growth("x", AGE_MAX), None);
        for (second, value) in [(0, 100.0), (30, 160.0), (60, 20.0), (90, 50.0)] {
            history.add(at(second), "x", value);
        }
        let growth = history.growth("x", AGE_MAX).unwrap();
        assert_eq!((growth.grown, growth.span.as_secs()), (110.0, 90));
        assert_eq!(history.growth("x", Duration::from_secs(30)).unwrap().grown, 30.0);
        assert_eq!(history.growth("x", Duration::from_secs(5)), None);
        assert_eq!(history.range("x", AGE_MAX), Some((20.0, 160.0)));
        assert_eq!(history.change("x", AGE_MAX).unwrap().grown, -50.0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = History::default();
        for second in 0..20_000 {
            history.add(at(second), "x", second as f64);
        }
        assert!(history.series["x"].len() <= SAMPLES_MAX);
        assert_eq!(history.series["x"].back(), Some(&(at(19_999), 19_999.0)));
        assert!(history.growth("x", AGE_MAX).unwrap().span.as_secs() >= 1_000);
        for series in 0..SERIES_MAX + 10 {
            history.add(at(20_000), &series.to_string(), 0.0);
        }
        assert_eq!(history.series.len(), SERIES_MAX);
        history.forget_old(at(30_000));
        assert!(history.series.is_empty());
    }

    #[test]
    fn growth_is_never_negative() {
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut history = History::default();
            let mut second = 0;
            for _ in 0..300 {
                second += rng.u64(0..40);
                history.add(at(second), "x", f64::from(rng.u32(0..1000)));
                let growth = history.growth("x", Duration::from_secs(rng.u64(0..4000)));
                assert!(growth.is_none_or(|g| g.grown >= 0.0 && !g.span.is_zero()), "seed {seed}");
            }
        }
    }
}
