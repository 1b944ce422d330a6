//! `mem.corrupted`: memory the kernel took out of use as broken.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "mem.corrupted",
    summary: "memory the kernel took out of use as broken",
    manual: "WARN when HardwareCorrupted of meminfo is above zero (Netdata, Checkmk): the kernel has met pages with \
             uncorrectable errors.",
    runbook: "replace the DIMM: edac-util, ipmitool sel list",
    urgency: Urgency::Ticket,
    scale: Scale::warn_above(1.0, 0.0, "B"),
    pace: Pace::AT_ONCE,
};

/// The check.
pub struct MemCorrupted;

impl Check for MemCorrupted {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(memory) = out.need_still(&case.facts.memory) else { return };
        let Some(broken) = memory.value("HardwareCorrupted") else { return };
        out.level("", broken as f64, format!("{} broken", words::bytes(broken)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn any_byte_warns() {
        check(
            "mem.corrupted",
            "== proc/meminfo
HardwareCorrupted: 4 kB
",
            expect![[r#"
                warn: 4.0 KiB broken
            "#]],
        );
    }

    #[test]
    fn not_counted_no_check() {
        check(
            "mem.corrupted",
            "== proc/meminfo
MemTotal: 4 kB
",
            expect![[""]],
        );
    }
}
