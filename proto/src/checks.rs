//! What every check is made of, whoever asks it: thresholds with a dead-band, patience, debounce. Pure.
//!
//! Room: `proto/checks`.  May use: `clock`, `verdict`.  Used by: the checks of the agent and those of the aggregator.
//!
//! Invariants
//! - Judging a number depends on the number, the scale and what is shown; nothing else.
//! - A change is shown when it has lasted as long as its [`Pace`] says, never earlier.
//!
//! Absent on purpose: the checks themselves and their facts.

use std::time::Duration;

use crate::verdict::Verdict;

mod debounce;

pub use debounce::{Debounce, Shown};

/// What the thresholds of a check mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Which side of a threshold is bad.
    pub bad: Bad,
    /// Default threshold of WARN; `None` when the check never warns by a number.
    pub warn: Option<f64>,
    /// Default threshold of CRIT; `None` when the check never turns critical by a number.
    pub crit: Option<f64>,
    /// Dead-band: a verdict once shown is left only this far on the good side of its threshold.
    pub band: f64,
    /// Unit of all three, for people: `% free`, `s`, `/s`.
    pub unit: &'static str,
}

/// Which side of a threshold is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// At the threshold and above.
    Above,
    /// Below the threshold.
    Below,
    /// The check has no thresholds: it is or it is not.
    Never,
}

impl Scale {
    /// No thresholds: the answer is not a number.
    pub const PLAIN: Scale = Scale { bad: Bad::Never, warn: None, crit: None, band: 0.0, unit: "" };

    /// At `warn` and above it is bad.
    pub const fn above(warn: f64, crit: f64, band: f64, unit: &'static str) -> Scale {
        Scale { bad: Bad::Above, warn: Some(warn), crit: Some(crit), band, unit }
    }

    /// At `warn` and above it is a warning; it never turns critical.
    pub const fn warn_above(warn: f64, band: f64, unit: &'static str) -> Scale {
        Scale { bad: Bad::Above, warn: Some(warn), crit: None, band, unit }
    }

    /// Below `warn` it is bad.
    pub const fn below(warn: f64, crit: f64, band: f64, unit: &'static str) -> Scale {
        Scale { bad: Bad::Below, warn: Some(warn), crit: Some(crit), band, unit }
    }

    /// Judges a number. `previous` is the shown verdict: what is shown is left only beyond the dead-band.
    pub fn judge(&self, value: f64, previous: Option<Verdict>) -> Verdict {
        if value.is_nan() {
            return Verdict::Unknown;
        }
        let beyond = |threshold: Option<f64>, held: bool| {
            let band = if held { self.band } else { 0.0 };
            threshold.is_some_and(|threshold| match self.bad {
                Bad::Above => value >= threshold - band,
                Bad::Below => value < threshold + band,
                Bad::Never => false,
            })
        };
        let was_crit = previous == Some(Verdict::Crit);
        let was_warn = was_crit || previous == Some(Verdict::Warn);
        if beyond(self.crit, was_crit) {
            Verdict::Crit
        } else if beyond(self.warn, was_warn) {
            Verdict::Warn
        } else {
            Verdict::Ok
        }
    }
}

/// How long a change must last to count: so many evaluations in a row, spread over so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Evaluations in a row before a worse verdict is shown; at least 1.
    pub raise_evals: u32,
    /// Time from the first of them to the last. Zero: the count alone decides.
    pub raise_after: Duration,
    /// Evaluations in a row before a better verdict is shown; at least 1.
    pub clear_evals: u32,
    /// Time from the first of them to the last.
    pub clear_after: Duration,
}

impl Pace {
    /// Shown at the first sight, cleared after two good looks a minute apart: for what the kernel itself
    /// has already decided (a degraded array, an OOM kill), where waiting only hides it.
    pub const AT_ONCE: Pace = Pace::of(1, 0, 2, 60);
    /// Raised after 3 looks over one minute, cleared after 3 looks over two.
    pub const MINUTE: Pace = Pace::of(3, 60, 3, 120);
    /// Raised after three minutes.
    pub const MINUTES_3: Pace = Pace::of(3, 180, 3, 120);
    /// Raised after five minutes.
    pub const MINUTES_5: Pace = Pace::of(3, 300, 3, 300);
    /// Raised after ten minutes.
    pub const MINUTES_10: Pace = Pace::of(3, 600, 3, 300);
    /// Raised after fifteen minutes.
    pub const MINUTES_15: Pace = Pace::of(3, 900, 3, 300);
    /// UNKNOWN of any check: one unreadable look is an accident, three over a minute are a fact.
    pub const UNKNOWN_EVALS: u32 = 3;
    /// Time from the first unreadable look to the one that shows it.
    pub const UNKNOWN_AFTER: Duration = Duration::from_secs(60);

    /// Counts and seconds: to raise, then to clear.
    pub const fn of(raise_evals: u32, raise_s: u64, clear_evals: u32, clear_s: u64) -> Pace {
        Pace {
            raise_evals,
            raise_after: Duration::from_secs(raise_s),
            clear_evals,
            clear_after: Duration::from_secs(clear_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_band_holds_what_is_shown_and_raises_nothing() {
        let free = Scale::below(7.0, 4.0, 2.0, "% free");
        assert_eq!(free.judge(8.5, None), Verdict::Ok);
        assert_eq!(free.judge(8.5, Some(Verdict::Ok)), Verdict::Ok);
        assert_eq!(free.judge(8.5, Some(Verdict::Warn)), Verdict::Warn);
        assert_eq!(free.judge(9.0, Some(Verdict::Warn)), Verdict::Ok);
        assert_eq!(free.judge(5.5, Some(Verdict::Crit)), Verdict::Crit);
        assert_eq!(free.judge(5.5, Some(Verdict::Warn)), Verdict::Warn);
        assert_eq!(free.judge(6.5, Some(Verdict::Crit)), Verdict::Warn);
        assert_eq!(free.judge(20.0, Some(Verdict::Crit)), Verdict::Ok);
    }

    #[test]
    fn above_includes_the_threshold_and_nan_is_no_answer() {
        let used = Scale::above(80.0, 90.0, 5.0, "% used");
        assert_eq!(used.judge(80.0, None), Verdict::Warn);
        assert_eq!(used.judge(90.0, None), Verdict::Crit);
        assert_eq!(used.judge(76.0, Some(Verdict::Warn)), Verdict::Warn);
        assert_eq!(used.judge(74.9, Some(Verdict::Warn)), Verdict::Ok);
        assert_eq!(used.judge(f64::NAN, Some(Verdict::Crit)), Verdict::Unknown);
        assert_eq!(Scale::PLAIN.judge(1e9, None), Verdict::Ok);
    }
}
