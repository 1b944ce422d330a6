//! `cpu.load`: load for each processor, where the kernel measures no pressure.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use crate::host::HostError;

const ABOUT: About = About {
    id: "cpu.load",
    summary: "load for each processor, where the kernel measures no pressure",
    manual: "Load of fifteen minutes divided by processors; WARN from 2 (node-mixin, Netdata). Exists only without \
             PSI: load also counts tasks that wait for disks and says less.",
    runbook: "top; ps -eo state,pid,comm | grep ^[RD]",
    urgency: Urgency::Info,
    scale: Scale::warn_above(2.0, 0.3, "per processor"),
    pace: Pace::MINUTES_15,
};

/// The check.
pub struct CpuLoad;

impl Check for CpuLoad {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        if !case.facts.pressure.as_ref().is_err_and(HostError::is_missing) {
            return;
        }
        let Some(load) = out.need(&case.facts.load) else { return };
        let Some(stat) = out.need(&case.facts.stat) else { return };
        let cpus = stat.cpus.len().max(1);
        let each = load.fifteen / cpus as f64;
        out.level(
            "",
            each,
            format!("load {:.2} on {cpus} processors, {each:.2} each", load.fifteen),
        );
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn without_psi_load_is_judged() {
        check(
            "cpu.load",
            "== proc/loadavg
9.00 9.00 5.00 1/2 3
== proc/stat
cpu0 1 1 1 1
cpu1 1 1 1 1
",
            expect![[r#"
                warn: load 5.00 on 2 processors, 2.50 each
            "#]],
        );
    }

    #[test]
    fn with_psi_there_is_no_check() {
        check(
            "cpu.load",
            "== proc/loadavg
9.00 9.00 5.00 1/2 3
== proc/stat
cpu0 1 1 1 1
== proc/pressure/cpu
some avg10=0.00 avg60=0.00 avg300=0.00 total=0
",
            expect![[""]],
        );
    }
}
