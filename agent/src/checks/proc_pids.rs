//! `proc.pids`: process ids left.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "proc.pids",
    summary: "process ids left",
    manual: "Threads of all processes in percent of kernel.pid_max. WARN from 85 %, CRIT from 95 % (Netdata, a little \
             earlier). At the limit nobody can log in any more.",
    runbook: "ps -eo nlwp,pid,comm --sort -nlwp | head; limit the unit with TasksMax",
    urgency: Urgency::Page,
    scale: Scale::above(85.0, 95.0, 3.0, "% used"),
    pace: Pace::MINUTE,
};

/// The check.
pub struct ProcPids;

impl Check for ProcPids {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(seen) = out.need_still(&case.processes) else { return };
        out.used("", seen.threads, seen.pid_max);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{NINETY_THREADS, check};

    #[test]
    fn threads_are_counted() {
        check(
            "proc.pids",
            NINETY_THREADS,
            expect![[r#"
                warn: 90.0% used (90 of 100)
            "#]],
        );
    }
}
