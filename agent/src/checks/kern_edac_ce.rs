//! `kern.edac_ce`: memory errors that were corrected.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "kern.edac_ce",
    summary: "memory errors that were corrected",
    manual: "Corrected memory errors for each day since boot and memory controller. WARN from 24 a day, CRIT from \
             1000 (own figures): the next one may not be correctable.",
    runbook: "edac-util -v names the DIMM; plan to replace it",
    urgency: Urgency::Ticket,
    scale: Scale::above(24.0, 1000.0, 2.0, "a day"),
    pace: Pace::AT_ONCE,
};

const DAY_S: f64 = 86_400.0;

/// The check.
pub struct KernEdacCe;

impl Check for KernEdacCe {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(controllers) = out.need(&case.slow.edac) else { return };
        let Some(stat) = out.need(&case.facts.stat) else { return };
        let now_s = u64::try_from(case.facts.clock.utc.as_secs()).unwrap_or(0);
        let up_s = now_s.saturating_sub(stat.boot_time_s);
        for controller in controllers {
            // Within the first day its errors count as a day's.
            let a_day = controller.corrected as f64 / (up_s as f64 / DAY_S).max(1.0);
            let message =
                format!("{} in {}, {a_day:.1} a day", controller.corrected, words::span(up_s));
            out.level(&controller.name, a_day, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn counted_by_the_day() {
        check(
            "kern.edac_ce",
            "== sys/devices/system/edac/mc/mc0/ce_count
90
== sys/devices/system/edac/mc/mc0/ue_count
0
== proc/stat
btime 1766966400
",
            expect![[r#"
                warn mc0: 90 in 3 d 0 h, 30.0 a day
            "#]],
        );
    }
}
