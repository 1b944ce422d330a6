//! `cpu.pressure`: tasks waiting for a processor.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

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
        let message = words::waited("something", &stall);
        out.level("", stall.avg300, message);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{WITHOUT_PSI, check, stalled};

    #[test]
    fn judges_the_five_minutes() {
        check(
            "cpu.pressure",
            &stalled("cpu"),
            expect![[r#"
                warn: something waited 61.0% of 5 min, 98.0% of 1 min
            "#]],
        );
    }

    #[test]
    fn without_psi_there_is_no_check() {
        check("cpu.pressure", WITHOUT_PSI, expect![[""]]);
    }
}
