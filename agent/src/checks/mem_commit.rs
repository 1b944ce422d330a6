//! `mem.commit`: memory promised, where promises are limited.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "mem.commit",
    summary: "memory promised, where promises are limited",
    manual: "Committed_AS in percent of CommitLimit, only with vm.overcommit_memory=2, where reaching the limit makes \
             malloc fail. WARN from 90 %, CRIT from 98 %.",
    runbook: "raise vm.overcommit_ratio, add swap, or limit who reserves most",
    urgency: Urgency::Ticket,
    scale: Scale::above(90.0, 98.0, 3.0, "% committed"),
    pace: Pace::MINUTES_5,
};

/// The check.
pub struct MemCommit;

impl Check for MemCommit {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(&overcommit) = out.need(&case.slow.overcommit) else { return };
        let Some(memory) = out.need_still(&case.facts.memory) else { return };
        let (Some(limit), Some(committed)) =
            (memory.value("CommitLimit"), memory.value("Committed_AS"))
        else {
            return;
        };
        if overcommit != 2 {
            return;
        }
        let percent = words::percent(committed, limit);
        let (committed, limit) = (words::bytes(committed), words::bytes(limit));
        out.level("", percent, format!("{percent:.1}% promised ({committed} of {limit})"));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn only_where_promises_are_limited() {
        check(
            "mem.commit",
            "== proc/sys/vm/overcommit_memory
0
== proc/meminfo
CommitLimit: 10 kB
Committed_AS: 99 kB
",
            expect![[""]],
        );
    }

    #[test]
    fn near_the_limit_it_warns() {
        check(
            "mem.commit",
            "== proc/sys/vm/overcommit_memory
2
== proc/meminfo
CommitLimit: 100 kB
Committed_AS: 95 kB
",
            expect![[r#"
                warn: 95.0% promised (95.0 KiB of 100 KiB)
            "#]],
        );
    }
}
