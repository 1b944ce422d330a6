//! `time.sync`: whether anybody keeps the clock right.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "time.sync",
    summary: "whether anybody keeps the clock right",
    manual: "WARN when the kernel clock is not synchronised for ten minutes (Wikimedia NTPNoSynced), CRIT when it may \
             also be off by 16 s or more (node-mixin).",
    runbook: "systemctl status chrony systemd-timesyncd; chronyc sources -v",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::MINUTES_10,
};

/// What the kernel calls lost.
const LOST_S: f64 = 16.0;

/// The check.
pub struct TimeSync;

impl Check for TimeSync {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(timex) = out.need(&case.facts.timex) else { return };
        let verdict = match (timex.is_synchronised, timex.maxerror_s >= LOST_S) {
            (true, _) => Verdict::Ok,
            (false, false) => Verdict::Warn,
            (false, true) => Verdict::Crit,
        };
        let word = if timex.is_synchronised { "synchronised" } else { "not synchronised" };
        out.add("", verdict, format!("{word}, may be off by {}", words::seconds(timex.maxerror_s)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn lost_for_long() {
        check(
            "time.sync",
            "== recorded/timex
state 5
status 64
maxerror 16000000
offset 0
tick 10000
",
            expect![[r#"
                crit: not synchronised, may be off by 16.0 s
            "#]],
        );
    }

    #[test]
    fn held() {
        check(
            "time.sync",
            "== recorded/timex
state 0
status 8193
maxerror 20000
offset 0
tick 10000
",
            expect![[r#"
                ok: synchronised, may be off by 20.0 ms
            "#]],
        );
    }
}
