//! `mem.size_drop`: memory that was there before.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "mem.size_drop",
    summary: "memory that was there before",
    manual: "CRIT when MemTotal is more than 2 % smaller than when first seen: a DIMM is gone, or somebody shrank the \
             machine on purpose. More memory is learned as normal at once.",
    runbook: "dmidecode -t memory; compare slots with the rack notes",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::AT_ONCE,
};

/// A kernel update moves MemTotal by less.
const LOST_PERCENT_MAX: f64 = 2.0;

/// The check.
pub struct MemSize;

impl Check for MemSize {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(memory) = out.need_still(&case.facts.memory) else { return };
        let now = memory.total_bytes();
        if now == 0 {
            return;
        }
        let normal = out.baseline("total", &now.to_string()).parse::<u64>().unwrap_or(now);
        if now > normal {
            out.relearn("total", &now.to_string());
        }
        let lost = words::percent(normal.saturating_sub(now), normal);
        let (verdict, was) = if lost > LOST_PERCENT_MAX {
            (Verdict::Crit, format!(", was {}", words::bytes(normal)))
        } else {
            (Verdict::Ok, String::new())
        };
        out.add("", verdict, format!("{}{was}", words::bytes(now)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_lost_module_shows() {
        check(
            "mem.size_drop",
            "== proc/meminfo
MemTotal: 1000000 kB
== +60
== proc/meminfo
MemTotal: 750000 kB
",
            expect![[r#"
                crit: 732 MiB, was 977 MiB
            "#]],
        );
    }

    #[test]
    fn more_memory_is_fine_and_learned() {
        check(
            "mem.size_drop",
            "== proc/meminfo
MemTotal: 1000000 kB
== +60
== proc/meminfo
MemTotal: 2000000 kB
== +60
== proc/meminfo
MemTotal: 1990000 kB
",
            expect![[r#"
                ok: 1.9 GiB
            "#]],
        );
    }
}
