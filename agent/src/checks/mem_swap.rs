//! `mem.swap`: swap in use.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "mem.swap",
    summary: "swap in use",
    manual: "Used swap in percent, only where there is swap: a host without it is well (monitoring-plugins' \
             check_swap calls it CRITICAL). WARN from 90 %, CRIT from 98 % (Netdata).",
    runbook: "see mem.available; smem -s swap",
    urgency: Urgency::Ticket,
    scale: Scale::above(90.0, 98.0, 5.0, "% used"),
    pace: Pace::MINUTES_5,
};

/// The check.
pub struct MemSwap;

impl Check for MemSwap {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(memory) = out.need_still(&case.facts.memory) else { return };
        let total = memory.value("SwapTotal").unwrap_or(0);
        if total == 0 {
            return;
        }
        let used = total.saturating_sub(memory.value("SwapFree").unwrap_or(0));
        let percent = words::percent(used, total);
        let (used, total) = (words::bytes(used), words::bytes(total));
        out.level("", percent, format!("{percent:.1}% used ({used} of {total})"));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn without_swap_there_is_no_check() {
        check(
            "mem.swap",
            "== proc/meminfo
MemTotal: 1000 kB
SwapTotal: 0 kB
SwapFree: 0 kB
",
            expect![[""]],
        );
    }

    #[test]
    fn full_swap_warns() {
        check(
            "mem.swap",
            "== proc/meminfo
MemTotal: 1000 kB
SwapTotal: 1024 kB
SwapFree: 64 kB
",
            expect![[r#"
                warn: 93.8% used (960 KiB of 1.0 MiB)
            "#]],
        );
    }
}
