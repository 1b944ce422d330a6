//! `io.pressure`: time lost waiting for disks.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "io.pressure",
    summary: "time lost waiting for disks",
    manual: "Share of five minutes in which every task waited for a disk (PSI full). WARN from 10 %, CRIT from 50 % \
             (Wikimedia). Look for the disk that is slow and for who writes.",
    runbook: "iostat -x 5; iotop -o; a failing disk shows in dmesg",
    urgency: Urgency::Page,
    scale: Scale::above(10.0, 50.0, 3.0, "% stalled"),
    pace: Pace::MINUTE,
};

/// The check.
pub struct IoPressure;

impl Check for IoPressure {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(pressure) = out.need(&case.facts.pressure) else { return };
        let Some(stall) = pressure.io.and_then(|stalls| stalls.full) else { return };
        let message = words::waited("everything", &stall);
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
            "io.pressure",
            &stalled("io"),
            expect![[r#"
                warn: everything waited 12.5% of 5 min, 30.0% of 1 min
            "#]],
        );
    }

    #[test]
    fn without_psi_there_is_no_check() {
        check("io.pressure", WITHOUT_PSI, expect![[""]]);
    }
}
