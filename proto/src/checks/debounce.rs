//! From raw answers to a shown verdict: raise late, clear later, never flap. Pure; the time is told.
//!
//! Room: `proto/checks`.  May use: `clock`, `verdict`.  Used by: the boards of agent and aggregator.
//!
//! Each threshold has a streak of its own, so an answer that wavers between WARN and CRIT still raises WARN.
//! Invariants
//! - A worse verdict is shown only after `raise_evals` answers at least that bad in a row over `raise_after`.
//! - A better one only after `clear_evals` answers at most that bad in a row over `clear_after`.
//! - UNKNOWN neither raises nor clears: it holds a running raise, breaks a running clear, and is itself shown
//!   only when it lasts. A problem that was shown before comes back at once when the answer is bad again.
//! - `since` moves only when the shown verdict does; UNKNOWN in between does not make a problem
//!   younger. (Absent on purpose: no flap counter, no average.)

use serde::{Deserialize, Serialize};

use super::Pace;
use crate::clock::{Moment, Mono, Utc};
use crate::verdict::Verdict;

/// Answers of one kind in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Streak {
    first: Mono,
    count: u32,
}

/// The memory of one instance of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debounce {
    shown: Verdict,
    since: Utc,
    /// What was shown before UNKNOWN took its place, and since when.
    before_unknown: Option<(Verdict, Utc)>,
    warn_or_worse: Option<Streak>,
    crit: Option<Streak>,
    better_than_crit: Option<Streak>,
    ok: Option<Streak>,
    unknown: Option<Streak>,
}

/// What survives a restart. The streaks do not: their clock dies with the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The shown verdict.
    pub verdict: Verdict,
    /// Since when.
    pub since: Utc,
    /// What was shown before UNKNOWN took its place, and since when.
    pub before_unknown: Option<(Verdict, Utc)>,
}

impl Debounce {
    /// First sight of an object: taken for well until it has been bad for long enough.
    pub fn new(now: Moment) -> Debounce {
        Debounce::restore(Shown { verdict: Verdict::Ok, since: now.utc, before_unknown: None })
    }

    /// Goes on from what was shown before a restart.
    pub fn restore(shown: Shown) -> Debounce {
        Debounce {
            shown: shown.verdict,
            since: shown.since,
            before_unknown: shown.before_unknown,
            warn_or_worse: None,
            crit: None,
            better_than_crit: None,
            ok: None,
            unknown: None,
        }
    }

    /// A raw answer arrived. Returns whether the shown verdict changed.
    pub fn on_answer(&mut self, now: Moment, raw: Verdict, pace: &Pace) -> bool {
        self.count(now.mono, raw);
        let next = self.decide(now.mono, raw, pace);
        if next == self.shown {
            return false;
        }
        let before = (self.shown, self.since);
        // What UNKNOWN hid and did not change is as old as it was.
        self.since = match self.before_unknown {
            Some((hidden, since)) if hidden == next => since,
            _ => now.utc,
        };
        self.before_unknown = (next == Verdict::Unknown).then_some(before);
        self.shown = next;
        true
    }

    /// The debounced verdict.
    pub fn shown(&self) -> Verdict {
        self.shown
    }

    /// Since when it is that.
    pub fn since(&self) -> Utc {
        self.since
    }

    /// What to keep over a restart.
    pub fn kept(&self) -> Shown {
        Shown { verdict: self.shown, since: self.since, before_unknown: self.before_unknown }
    }

    fn count(&mut self, now: Mono, raw: Verdict) {
        let feed = |streak: &mut Option<Streak>, feeds: bool| {
            *streak = feeds.then(|| match *streak {
                Some(Streak { first, count }) => Streak { first, count: count.saturating_add(1) },
                None => Streak { first: now, count: 1 },
            });
        };
        feed(&mut self.unknown, raw == Verdict::Unknown);
        feed(&mut self.ok, raw == Verdict::Ok);
        feed(&mut self.better_than_crit, matches!(raw, Verdict::Ok | Verdict::Warn));
        if raw != Verdict::Unknown {
            feed(&mut self.warn_or_worse, raw.badness() >= Verdict::Warn.badness());
            feed(&mut self.crit, raw == Verdict::Crit);
        }
    }

    fn decide(&self, now: Mono, raw: Verdict, pace: &Pace) -> Verdict {
        let lasted = |streak: Option<Streak>, evals: u32, span: std::time::Duration| {
            streak.is_some_and(|s| s.count >= evals && now.since(s.first) >= span)
        };
        let raised = |streak| lasted(streak, pace.raise_evals, pace.raise_after);
        let cleared = |streak| lasted(streak, pace.clear_evals, pace.clear_after);
        // The level a known answer is measured against: UNKNOWN hides a problem, it does not end it.
        let level = match self.shown {
            Verdict::Unknown => self.before_unknown.map_or(Verdict::Ok, |(verdict, _)| verdict),
            known => known,
        };
        match raw {
            Verdict::Unknown if lasted(self.unknown, Pace::UNKNOWN_EVALS, Pace::UNKNOWN_AFTER) => {
                Verdict::Unknown
            }
            Verdict::Unknown => self.shown,
            Verdict::Crit if level == Verdict::Crit || raised(self.crit) => Verdict::Crit,
            Verdict::Warn | Verdict::Crit if level == Verdict::Ok && raised(self.warn_or_worse) => {
                Verdict::Warn
            }
            Verdict::Warn if level == Verdict::Crit && cleared(self.better_than_crit) => {
                Verdict::Warn
            }
            Verdict::Ok if level == Verdict::Ok || cleared(self.ok) => Verdict::Ok,
            // Known again, but not long enough to say anything new: the problem of before, if there was one.
            _ if self.shown == Verdict::Unknown => match level {
                Verdict::Ok => Verdict::Unknown,
                problem => problem,
            },
            _ => self.shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::{Expect, expect};

    use super::*;

    fn at(second: u64) -> Moment {
        Moment {
            utc: Utc(1_000_000_000_000_000 + second as i64 * 1_000_000),
            mono: Mono(second * 1_000_000),
        }
    }

    /// `answers`: one letter each 30 s (o ok, w warn, c crit, u unknown). Out: what was shown after each.
    #[track_caller]
    fn check(pace: Pace, answers: &str, expected: Expect) {
        let mut debounce = Debounce::new(at(0));
        let mut shown = String::new();
        for (index, letter) in answers.chars().enumerate() {
            debounce.on_answer(at(index as u64 * 30), verdict(letter), &pace);
            shown.push(debounce.shown().name().chars().next().unwrap());
        }
        expected.assert_eq(&format!("{answers}\n{shown}\n"));
    }

    fn verdict(letter: char) -> Verdict {
        match letter {
            'o' => Verdict::Ok,
            'w' => Verdict::Warn,
            'c' => Verdict::Crit,
            _ => Verdict::Unknown,
        }
    }

    #[test]
    fn raises_late_and_clears_later() {
        check(
            Pace::MINUTE,
            "ooccccooooooo",
            expect![[r#"
                ooccccooooooo
                ooooccccccooo
            "#]],
        );
    }

    #[test]
    fn wavering_between_warn_and_crit_raises_warn() {
        check(
            Pace::MINUTE,
            "wcwcwccccc",
            expect![[r#"
                wcwcwccccc
                oowwwwwccc
            "#]],
        );
    }

    #[test]
    fn unknown_is_not_raised_at_once_and_clears_nothing() {
        check(
            Pace::AT_ONCE,
            "cuouooooo",
            expect![[r#"
                cuouooooo
                ccccccooo
            "#]],
        );
        check(
            Pace::MINUTE,
            "ouoouuuuo",
            expect![[r#"
                ouoouuuuo
                oooooouuo
            "#]],
        );
    }

    #[test]
    fn a_problem_hidden_by_unknown_comes_back_at_once() {
        check(
            Pace::MINUTE,
            "cccuuuucoooooo",
            expect![[r#"
                cccuuuucoooooo
                oocccuucccccoo
            "#]],
        );
    }

    #[test]
    fn a_restart_keeps_since() {
        let mut before = Debounce::new(at(0));
        for second in [0, 30, 60, 90] {
            before.on_answer(at(second), Verdict::Crit, &Pace::MINUTE);
        }
        assert_eq!((before.shown(), before.since()), (Verdict::Crit, at(60).utc));
        let mut after = Debounce::restore(before.kept());
        assert!(!after.on_answer(at(5), Verdict::Crit, &Pace::MINUTE));
        assert_eq!((after.shown(), after.since()), (Verdict::Crit, at(60).utc));
    }

    /// Every change of what is shown is proven by the raw answers before it, and by nothing else.
    #[test]
    fn random_answers_never_flap_faster_than_allowed() {
        for seed in 0..400 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let pace = Pace::of(rng.u32(1..5), rng.u64(0..300), rng.u32(1..5), rng.u64(0..300));
            let mut debounce = Debounce::new(at(0));
            let mut answers: Vec<(u64, Verdict)> = Vec::new();
            let (mut second, mut last_raise) = (0, None::<u64>);
            let stay = rng.u32(1..12);
            for _ in 0..400 {
                second += rng.u64(1..60);
                let same = answers.last().map(|last| last.1).filter(|_| rng.u32(0..stay) != 0);
                let raw =
                    same.unwrap_or_else(|| verdict(*rng.choice(&['o', 'w', 'c', 'u']).unwrap()));
                answers.push((second, raw));
                let (from, since) = (debounce.kept(), debounce.since());
                let changed = debounce.on_answer(at(second), raw, &pace);
                assert_eq!(changed, debounce.shown() != from.verdict, "seed {seed}");
                if !changed {
                    assert_eq!(
                        debounce.since(),
                        since,
                        "seed {seed}: since moved without a change"
                    );
                    continue;
                }
                let hidden =
                    from.before_unknown.filter(|(verdict, _)| *verdict == debounce.shown());
                let since = hidden.map_or(at(second).utc, |(_, since)| since);
                assert_eq!(debounce.since(), since, "seed {seed}");
                prove(&answers, from, debounce.shown(), &pace, seed);
                if debounce.shown() == Verdict::Ok
                    && let Some(raised) = last_raise.take()
                {
                    assert!(
                        second - raised >= pace.clear_after.as_secs(),
                        "seed {seed}: cleared too early"
                    );
                }
                if matches!(debounce.shown(), Verdict::Warn | Verdict::Crit) {
                    last_raise = last_raise.or(Some(second));
                }
            }
        }
    }

    /// The last answers must all agree with the step from `from` to `to`, in number and in time.
    fn prove(answers: &[(u64, Verdict)], from: Shown, to: Verdict, pace: &Pace, seed: u64) {
        let level = from.before_unknown.map_or(from.verdict, |(verdict, _)| verdict);
        let raw = answers.last().unwrap().1;
        let row = |fits: &dyn Fn(Verdict) -> bool, skip_unknown: bool| {
            let mut count = 0;
            let mut first = answers.last().unwrap().0;
            for (second, raw) in answers.iter().rev() {
                if skip_unknown && *raw == Verdict::Unknown {
                    continue;
                }
                if !fits(*raw) {
                    break;
                }
                count += 1;
                first = *second;
            }
            (count, Duration::from_secs(answers.last().unwrap().0 - first))
        };
        let (needed, span, (count, lasted)) = match to {
            Verdict::Unknown => (
                Pace::UNKNOWN_EVALS,
                Pace::UNKNOWN_AFTER,
                row(&|raw| raw == Verdict::Unknown, false),
            ),
            // Known again: what was shown before UNKNOWN returns, or is better for good.
            known if known == level => {
                assert_ne!(raw, Verdict::Unknown, "seed {seed}");
                return;
            }
            Verdict::Ok => {
                (pace.clear_evals, pace.clear_after, row(&|raw| raw == Verdict::Ok, false))
            }
            Verdict::Warn if level == Verdict::Crit => (
                pace.clear_evals,
                pace.clear_after,
                row(&|raw| matches!(raw, Verdict::Ok | Verdict::Warn), false),
            ),
            worse => (
                pace.raise_evals,
                pace.raise_after,
                row(&|raw| raw.badness() >= worse.badness(), true),
            ),
        };
        assert!(
            count >= needed && lasted >= span,
            "seed {seed}: {from:?} to {to} after {count} in {lasted:?}"
        );
    }

    #[test]
    fn a_dead_object_neither_clears_nor_raises() {
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut debounce = Debounce::new(at(0));
            for second in 0..20 {
                debounce.on_answer(
                    at(second * 60),
                    verdict(*rng.choice(&['o', 'w', 'c']).unwrap()),
                    &Pace::MINUTE,
                );
            }
            let alive = debounce.shown();
            for second in 20..60 {
                debounce.on_answer(at(second * 60), Verdict::Unknown, &Pace::MINUTE);
                assert!([alive, Verdict::Unknown].contains(&debounce.shown()), "seed {seed}");
            }
            assert_eq!(
                debounce.kept().before_unknown.map(|(verdict, _)| verdict),
                Some(alive),
                "seed {seed}"
            );
        }
    }
}
