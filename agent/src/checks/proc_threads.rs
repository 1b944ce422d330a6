//! `proc.threads`: threads left.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "proc.threads",
    summary: "threads left",
    manual: "Threads of all processes in percent of kernel.threads-max. WARN from 80 %, CRIT from 90 % (Checkmk). At \
             the limit nobody can log in any more.",
    runbook: "ps -eo nlwp,pid,comm --sort -nlwp | head; limit the unit with TasksMax",
    urgency: Urgency::Page,
    scale: Scale::above(80.0, 90.0, 3.0, "% used"),
    pace: Pace::MINUTE,
};

/// The check.
pub struct ProcThreads;

impl Check for ProcThreads {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(seen) = out.need_still(&case.processes) else { return };
        out.used("", seen.threads, seen.threads_max);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{NINETY_THREADS, check};

    #[test]
    fn threads_are_counted() {
        check(
            "proc.threads",
            NINETY_THREADS,
            expect![[r#"
                crit: 90.0% used (90 of 100)
            "#]],
        );
    }
}
