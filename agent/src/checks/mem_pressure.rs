//! `mem.pressure`: time lost waiting for memory.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::{evidence, words};

const ABOUT: About = About {
    id: "mem.pressure",
    summary: "time lost waiting for memory",
    manual: "Share of five minutes in which every task waited for memory (PSI full). WARN from 10 % (Wikimedia \
             cirrussearch), CRIT from 50 %. The host thrashes long before the OOM killer comes.",
    runbook: "find who grows (see evidence), limit or restart it before the OOM killer chooses",
    urgency: Urgency::Page,
    scale: Scale::above(10.0, 50.0, 3.0, "% stalled"),
    pace: Pace::MINUTE,
};

/// The check.
pub struct MemPressure;

impl Check for MemPressure {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(pressure) = out.need(&case.facts.pressure) else { return };
        let Some(stall) = pressure.memory.and_then(|stalls| stalls.full) else { return };
        let message = words::waited("everything", &stall);
        out.level_with("", stall.avg300, message, || evidence::biggest_processes(case));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{WITHOUT_PSI, check, stalled};

    #[test]
    fn judges_the_five_minutes() {
        check(
            "mem.pressure",
            &stalled("memory"),
            expect![[r#"
                warn: everything waited 12.5% of 5 min, 30.0% of 1 min
            "#]],
        );
    }

    #[test]
    fn without_psi_there_is_no_check() {
        check("mem.pressure", WITHOUT_PSI, expect![[""]]);
    }
}
