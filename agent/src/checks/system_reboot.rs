//! `system.reboot`: reboots.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "system.reboot",
    summary: "reboots",
    manual: "WARN for ten minutes after a reboot that happened while the agent knew the host (another boot id than \
             before). OK says how long it is up.",
    runbook: "last -x | head; journalctl --list-boots; journalctl -b -1 -e",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::AT_ONCE,
};

/// So long a reboot is news. Seconds.
const NEWS_S: u64 = 600;

/// The check.
pub struct SystemReboot;

impl Check for SystemReboot {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(stat) = out.need(&case.facts.stat) else { return };
        let Some(kernel) = out.need(&case.slow.kernel) else { return };
        let now_s = u64::try_from(case.facts.clock.utc.as_secs()).unwrap_or(0);
        let up_s = now_s.saturating_sub(stat.boot_time_s);
        let is_new = out.baseline("boot", &kernel.boot_id) != kernel.boot_id;
        if is_new && up_s < NEWS_S {
            return out.add("", Verdict::Warn, format!("rebooted {} ago", words::span(up_s)));
        }
        if is_new {
            out.relearn("boot", &kernel.boot_id);
        }
        out.add("", Verdict::Ok, format!("up for {}", words::span(up_s)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_reboot_is_news_for_ten_minutes() {
        check(
            "system.reboot",
            "== proc/sys/kernel/tainted
0
== proc/stat
btime 1767000000
== proc/sys/kernel/random/boot_id
aaa
== +60
== proc/stat
btime 1767225640
== proc/sys/kernel/random/boot_id
bbb
",
            expect![[r#"
                warn: rebooted 20 s ago
            "#]],
        );
    }

    #[test]
    fn the_first_sight_of_a_host_is_no_reboot() {
        check(
            "system.reboot",
            "== proc/sys/kernel/tainted
0
== proc/stat
btime 1767225500
== proc/sys/kernel/random/boot_id
aaa
",
            expect![[r#"
                ok: up for 1 min
            "#]],
        );
    }
}
