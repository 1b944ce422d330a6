//! `proc.dstate`: processes stuck in the kernel.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Bad, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::{evidence, words};

const ABOUT: About = About {
    id: "proc.dstate",
    summary: "processes stuck in the kernel",
    manual: "Processes in uninterruptible sleep, kernel threads not counted. WARN from 5 at once for five minutes, \
             CRIT when one sleeps for more than two minutes (the kernel's own hung-task limit). A disk or a file \
             server does not answer.",
    runbook: "cat /proc/PID/stack; see fs.hung and dmesg; they cannot be killed",
    urgency: Urgency::Ticket,
    scale: Scale { bad: Bad::Above, warn: Some(5.0), crit: None, band: 1.0, unit: "processes" },
    pace: Pace::MINUTES_5,
};

/// One process may sleep so long. Seconds.
const OLDEST_S_MAX: u64 = 120;
/// Parent of every kernel thread.
const KTHREADD: u32 = 2;

/// The check.
pub struct ProcDstate;

impl Check for ProcDstate {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(seen) = out.need_still(&case.processes) else { return };
        let stuck: Vec<_> =
            seen.stuck.iter().filter(|p| p.parent != KTHREADD && p.pid != KTHREADD).collect();
        let oldest = case.stuck_s.iter().find(|(pid, _)| stuck.iter().any(|p| p.pid == *pid));
        let mut message =
            words::count(stuck.len() as u64, "process", "processes") + " in uninterruptible sleep";
        let mut verdict = out.verdict_of("", stuck.len() as f64);
        if let Some((pid, seconds)) = oldest {
            message.push_str(&format!(", pid {pid} for at least {}", words::span(*seconds)));
            if *seconds > OLDEST_S_MAX {
                verdict = Verdict::Crit;
            }
        }
        out.add_with("", verdict, message, || evidence::stuck_processes(case));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn one_that_never_wakes_is_critical() {
        check(
            "proc.dstate",
            "== proc/sys/kernel/pid_max
9
== proc/sys/kernel/threads-max
9
== proc/7/stat
7 (cp) D 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== proc/8/stat
8 (kworker) D 2 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0
== +60
== +60
== +60
",
            expect![[r#"
                crit: 1 process in uninterruptible sleep, pid 7 for at least 3 min
            "#]],
        );
    }
}
