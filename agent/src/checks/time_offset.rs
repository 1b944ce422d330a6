//! `time.offset`: how far the clock is off.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "time.offset",
    summary: "how far the clock is off",
    manual: "Offset the time daemon still has to correct, while synchronised. WARN from 0.2 s, CRIT from 0.5 s \
             (Checkmk).",
    runbook: "chronyc tracking; a virtual machine that was paused comes back by itself",
    urgency: Urgency::Page,
    scale: Scale::above(0.2, 0.5, 0.05, "s"),
    pace: Pace::MINUTES_10,
};

/// The check.
pub struct TimeOffset;

impl Check for TimeOffset {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(timex) = out.need(&case.facts.timex) else { return };
        if timex.is_synchronised || out.previous("").is_some() {
            let off = timex.offset_s.abs();
            out.level("", off, format!("off by {}", words::seconds(off)));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn far_off() {
        check(
            "time.offset",
            "== recorded/timex
state 0
status 8193
maxerror 20000
offset -300000000
tick 10000
",
            expect![[r#"
                warn: off by 300.0 ms
            "#]],
        );
    }

    #[test]
    fn nobody_says() {
        check(
            "time.offset",
            "== recorded/timex
state 5
status 64
maxerror 16000000
offset 0
tick 10000
",
            expect![[""]],
        );
    }
}
