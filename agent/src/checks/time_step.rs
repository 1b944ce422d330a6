//! `time.step`: clock steps.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "time.step",
    summary: "clock steps",
    manual: "How far wall time and monotonic time drifted apart within ten minutes. WARN from 1 s, CRIT from 60 s \
             (own figures): the clock was set, or the machine slept.",
    runbook: "journalctl -u chrony -u systemd-timesyncd; records of that moment carry two kinds of time",
    urgency: Urgency::Info,
    scale: Scale::above(1.0, 60.0, 0.0, "s"),
    pace: Pace::AT_ONCE,
};

const WINDOW: Duration = Duration::from_secs(600);

/// The check.
pub struct TimeStep;

impl Check for TimeStep {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some((low, high)) = case.history.range("clock.ahead", WINDOW) else { return };
        let step = high - low;
        out.level("", step, format!("{} in 10 min", words::seconds(step)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_quiet_clock() {
        check(
            "time.step",
            "== +60
",
            expect![[r#"
                ok: 0 µs in 10 min
            "#]],
        );
    }

    #[test]
    fn a_clock_that_was_set_shows_for_ten_minutes() {
        use crate::checks::door::at;
        use crate::checks::{Case, Settings, judge_all};
        let mut case = Case::unread(at(0));
        for (second, ahead) in [(0, 100.0), (60, 100.0), (120, 165.0), (180, 165.0)] {
            case.history.add(at(second).mono, "clock.ahead", ahead);
        }
        let found = judge_all(&case, &Settings::default());
        assert_eq!(crate::checks::door::lines(&found), "crit: 65.0 s in 10 min\n");
    }
}
