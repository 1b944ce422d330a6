//! `proc.pids`: process ids left.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

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
        let percent = words::percent(seen.threads, seen.pid_max);
        out.level(
            "",
            percent,
            format!("{percent:.1}% used ({} of {})", seen.threads, seen.pid_max),
        );
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn threads_are_counted() {
        check(
            "proc.pids",
            "== proc/sys/kernel/pid_max
100
== proc/sys/kernel/threads-max
100
== proc/1/stat
1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/7/stat
7 (java) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 89 0 5 0 10 0
",
            expect![[r#"
                warn: 90.0% used (90 of 100)
            "#]],
        );
    }
}
