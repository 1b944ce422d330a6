//! `kern.hung`: tasks the kernel found hung.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "kern.hung",
    summary: "tasks the kernel found hung",
    manual: "Tasks the kernel reported as blocked for more than two minutes, within ten minutes (kernel 6.13 and \
             later count them). WARN from 1, CRIT from 3 (node-problem-detector TaskHung).",
    runbook: "dmesg -T | grep -A20 blocked; see io.pressure and fs.hung",
    urgency: Urgency::Page,
    scale: Scale::above(1.0, 3.0, 0.0, "tasks in 10 min"),
    pace: Pace::AT_ONCE,
};

const WINDOW: Duration = Duration::from_secs(600);

/// The check.
pub struct KernHung;

impl Check for KernHung {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(kernel) = out.need(&case.slow.kernel) else { return };
        let Some(since_boot) = kernel.hung_tasks else { return };
        let grown = case.history.growth("hung_tasks", WINDOW).map_or(0.0, |growth| growth.grown);
        let hung = words::count(grown as u64, "task", "tasks");
        out.level("", grown, format!("{hung} in 10 min, {since_boot} since boot"));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn new_ones_count() {
        check(
            "kern.hung",
            "== proc/sys/kernel/tainted
0
== proc/sys/kernel/hung_task_detect_count
2
== +60
== proc/sys/kernel/hung_task_detect_count
3
",
            expect![[r#"
                warn: 1 task in 10 min, 3 since boot
            "#]],
        );
    }

    #[test]
    fn an_old_kernel_does_not_count() {
        check(
            "kern.hung",
            "== proc/sys/kernel/tainted
0
",
            expect![[""]],
        );
    }
}
