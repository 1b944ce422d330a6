//! `mem.slab`: memory the kernel holds and cannot give back.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "mem.slab",
    summary: "memory the kernel holds and cannot give back",
    manual: "SUnreclaim in percent of MemTotal. WARN from 25 %, CRIT from 50 % for fifteen minutes (own figures): a \
             leak in the kernel or a table without bound.",
    runbook: "slabtop -s c; a reboot is the way out of a leak",
    urgency: Urgency::Ticket,
    scale: Scale::above(25.0, 50.0, 3.0, "% of memory"),
    pace: Pace::MINUTES_15,
};

/// The check.
pub struct MemSlab;

impl Check for MemSlab {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(memory) = out.need_still(&case.facts.memory) else { return };
        let Some(slab) = memory.value("SUnreclaim") else { return };
        let percent = words::percent(slab, memory.total_bytes());
        out.level("", percent, format!("{percent:.1}% of memory ({})", words::bytes(slab)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_quarter_warns() {
        check(
            "mem.slab",
            "== proc/meminfo
MemTotal: 1000 kB
SUnreclaim: 300 kB
",
            expect![[r#"
                warn: 30.0% of memory (300 KiB)
            "#]],
        );
    }
}
