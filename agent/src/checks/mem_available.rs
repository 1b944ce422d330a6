//! `mem.available`: memory left for new work.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::{evidence, words};

const ABOUT: About = About {
    id: "mem.available",
    summary: "memory left for new work",
    manual: "MemAvailable in percent of MemTotal. WARN below 10 % (node-mixin, Netdata), CRIT below 5 % (Wikimedia) \
             for fifteen minutes. The evidence names the biggest processes of the moment when it began.",
    runbook: "restart or limit the biggest process (see evidence); systemd-cgtop -m",
    urgency: Urgency::Ticket,
    scale: Scale::below(10.0, 5.0, 2.0, "% available"),
    pace: Pace::MINUTES_15,
};

/// The check.
pub struct MemAvailable;

impl Check for MemAvailable {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(memory) = out.need_still(&case.facts.memory) else { return };
        let (Some(total), Some(available)) =
            (memory.value("MemTotal"), memory.value("MemAvailable"))
        else {
            return out.unreadable("meminfo lacks MemTotal or MemAvailable");
        };
        let percent = words::percent(available, total);
        let (available, total) = (words::bytes(available), words::bytes(total));
        let message = format!("{percent:.1}% available ({available} of {total})");
        out.level_with("", percent, message, || evidence::biggest_processes(case));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn judges_what_is_available_not_what_is_free() {
        check(
            "mem.available",
            "== proc/meminfo
MemTotal: 1000 kB
MemFree: 1 kB
MemAvailable: 90 kB
",
            expect![[r#"
                warn: 9.0% available (90.0 KiB of 1000 KiB)
            "#]],
        );
    }

    #[test]
    fn a_file_without_the_line_is_unknown() {
        check(
            "mem.available",
            "== proc/meminfo
MemTotal: 1000 kB
",
            expect![[r#"
                unknown: cannot tell: meminfo lacks MemTotal or MemAvailable
            "#]],
        );
    }
}
