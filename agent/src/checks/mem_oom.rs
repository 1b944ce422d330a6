//! `mem.oom`: processes the kernel killed for want of memory.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::{evidence, words};

const ABOUT: About = About {
    id: "mem.oom",
    summary: "processes the kernel killed for want of memory",
    manual: "WARN when the kernel killed a process for want of memory within half an hour (Netdata's window; \
             node_exporter oom_kill). The log names the victim and its cgroup.",
    runbook: "dmesg -T | grep -i oom; raise MemoryMax of the unit or find the leak",
    urgency: Urgency::Ticket,
    scale: Scale::warn_above(1.0, 0.0, "kills in 30 min"),
    pace: Pace::AT_ONCE,
};

const WINDOW: Duration = Duration::from_secs(1800);

/// The check.
pub struct MemOom;

impl Check for MemOom {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(vmstat) = out.need(&case.facts.vmstat) else { return };
        // Before 4.13 the kernel does not count.
        let Some(since_boot) = vmstat.value("oom_kill") else { return };
        let grown = case.history.growth("oom_kill", WINDOW).map_or(0.0, |growth| growth.grown);
        let kills = words::count(grown as u64, "kill", "kills");
        let message = format!("{kills} in 30 min, {since_boot} since boot");
        out.level_with("", grown, message, || evidence::biggest_processes(case));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn old_kills_are_history() {
        check(
            "mem.oom",
            "== proc/vmstat
oom_kill 7
== +60
",
            expect![[r#"
                ok: 0 kills in 30 min, 7 since boot
            "#]],
        );
    }

    #[test]
    fn a_fresh_kill_warns() {
        check(
            "mem.oom",
            "== proc/vmstat
oom_kill 7
== +60
== proc/vmstat
oom_kill 9
== +60
",
            expect![[r#"
                warn: 2 kills in 30 min, 9 since boot
            "#]],
        );
    }

    #[test]
    fn half_an_hour_later_it_is_over() {
        check(
            "mem.oom",
            "== proc/vmstat
oom_kill 7
== +60
== proc/vmstat
oom_kill 9
== +1000
== +1000
",
            expect![[r#"
                ok: 0 kills in 30 min, 9 since boot
            "#]],
        );
    }
}
