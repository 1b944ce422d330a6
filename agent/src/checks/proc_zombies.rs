//! `proc.zombies`: dead processes nobody collected.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "proc.zombies",
    summary: "dead processes nobody collected",
    manual: "Dead processes whose parent does not collect them. WARN from 10, CRIT from 100 (own figures). Each holds \
             a process id; only the parent can help.",
    runbook: "restart the parent named in the message",
    urgency: Urgency::Info,
    scale: Scale::above(10.0, 100.0, 2.0, "zombies"),
    pace: Pace::MINUTES_5,
};

/// The check.
pub struct ProcZombies;

impl Check for ProcZombies {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(seen) = out.need_still(&case.processes) else { return };
        let mut message = words::count(seen.zombies, "zombie", "zombies");
        if let Some((pid, name, count)) = seen.zombie_parents.first() {
            message.push_str(&format!(", {count} of them of {name} (pid {pid})"));
        }
        out.level_with("", seen.zombies as f64, message, || {
            let lines = seen.zombie_parents.iter();
            lines.map(|(pid, name, count)| format!("{count:>6}  pid {pid:<8} {name}\n")).collect()
        });
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn the_parent_is_named() {
        check(
            "proc.zombies",
            "== proc/sys/kernel/pid_max
9
== proc/sys/kernel/threads-max
9
== proc/5/comm
bad-parent
== proc/100/stat
100 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/101/stat
101 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/102/stat
102 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/103/stat
103 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/104/stat
104 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/105/stat
105 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/106/stat
106 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/107/stat
107 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/108/stat
108 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/109/stat
109 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/110/stat
110 (x) Z 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/300/stat
300 (y) Z 6 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
",
            expect![[r#"
                warn: 12 zombies, 11 of them of bad-parent (pid 5)
            "#]],
        );
    }
}
