//! `cpu.offline`: processors that were there before.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "cpu.offline",
    summary: "processors that were there before",
    manual: "CRIT when fewer processors are online than when first seen: one failed, or somebody took it away on \
             purpose. More are learned as normal at once.",
    runbook: "lscpu -e; mcelog or rasdaemon; compare with the hypervisor",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::MINUTE,
};

/// The check.
pub struct CpuOffline;

impl Check for CpuOffline {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(kernel) = out.need(&case.slow.kernel) else { return };
        let now = kernel.cpus_online;
        if now == 0 {
            return;
        }
        let normal = out.baseline("online", &now.to_string()).parse::<u64>().unwrap_or(now);
        if now > normal {
            out.relearn("online", &now.to_string());
        }
        if now < normal {
            out.add(
                "",
                Verdict::Crit,
                format!("{now} processors online, {normal} when first seen"),
            );
        } else {
            out.add("", Verdict::Ok, format!("{now} processors online"));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_lost_processor_shows() {
        check(
            "cpu.offline",
            "== proc/sys/kernel/tainted
0
== sys/devices/system/cpu/online
0-7
== +60
== sys/devices/system/cpu/online
0-5,7
",
            expect![[r#"
                crit: 7 processors online, 8 when first seen
            "#]],
        );
    }
}
