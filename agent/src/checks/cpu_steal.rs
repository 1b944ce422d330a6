//! `cpu.steal`: processor time the hypervisor gave to others.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "cpu.steal",
    summary: "processor time the hypervisor gave to others",
    manual: "Stolen processor time over ten minutes, only on a virtual machine. WARN from 10 % (Netdata), CRIT from \
             30 %.",
    runbook: "a noisy neighbour: ask for another machine below",
    urgency: Urgency::Ticket,
    scale: Scale::above(10.0, 30.0, 2.0, "% stolen"),
    pace: Pace::MINUTES_10,
};

const WINDOW: Duration = Duration::from_secs(600);

/// The check.
pub struct CpuSteal;

impl Check for CpuSteal {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(kernel) = out.need(&case.slow.kernel) else { return };
        let _stat = out.need(&case.facts.stat);
        if !kernel.is_virtual {
            return;
        }
        let growth = |name| case.history.growth(name, WINDOW);
        let (Some(steal), Some(total)) = (growth("cpu.steal"), growth("cpu.total")) else { return };
        let percent = if total.grown > 0.0 { steal.grown * 100.0 / total.grown } else { 0.0 };
        out.level(
            "",
            percent,
            format!("{percent:.1}% stolen over {}", words::seconds(total.span.as_secs_f64())),
        );
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_virtual_machine_is_robbed() {
        check(
            "cpu.steal",
            "== proc/sys/kernel/tainted
0
== proc/cpuinfo
flags : fpu hypervisor
== proc/stat
cpu 0 0 0 0 0 0 0 0 0 0
== +60
== proc/stat
cpu 40 0 0 40 0 0 0 20 0 0
",
            expect![[r#"
                warn: 20.0% stolen over 60.0 s
            "#]],
        );
    }

    #[test]
    fn on_iron_there_is_no_check() {
        check(
            "cpu.steal",
            "== proc/sys/kernel/tainted
0
== proc/cpuinfo
flags : fpu
== proc/stat
cpu 0 0 0 0 0 0 0 0 0 0
== +60
",
            expect![[""]],
        );
    }
}
