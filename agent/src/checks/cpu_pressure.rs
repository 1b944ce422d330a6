//! `cpu.pressure`: tasks waiting for a processor.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "cpu.pressure",
    summary: "tasks waiting for a processor",
    manual: "Share of five minutes in which some task waited for a processor (PSI some). WARN from 60 % for ten \
             minutes (own figure); PSI is asked rather than load (netdata#17178).",
    runbook: "top; systemd-cgtop",
    urgency: Urgency::Ticket,
    scale: Scale::warn_above(60.0, 10.0, "% stalled"),
    pace: Pace::MINUTES_5,
};

/// The check.
pub struct CpuPressure;

impl Check for CpuPressure {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(pressure) = out.need(&case.facts.pressure) else { return };
        let Some(stall) = pressure.cpu.and_then(|stalls| stalls.some) else { return };
        let message =
            format!("something waited {:.1}% of 5 min, {:.1}% of 1 min", stall.avg300, stall.avg60);
        out.level("", stall.avg300, message);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn judges_the_five_minutes() {
        check(
            "cpu.pressure",
            "== proc/pressure/cpu
some avg10=99.00 avg60=98.00 avg300=61.00 total=1
full avg10=9.00 avg60=30.00 avg300=12.50 total=1
",
            expect![[r#"
                warn: something waited 61.0% of 5 min, 98.0% of 1 min
            "#]],
        );
    }

    #[test]
    fn without_psi_there_is_no_check() {
        check(
            "cpu.pressure",
            "== proc/loadavg
9 9 9 1/2 3
",
            expect![[""]],
        );
    }
}
