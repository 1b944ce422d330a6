//! `cpu.vulnerable`: processor holes without a remedy.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "cpu.vulnerable",
    summary: "processor holes without a remedy",
    manual: "WARN when /sys/devices/system/cpu/vulnerabilities calls anything vulnerable (Wikimedia check_microcode). \
             Urgency info: most virtual machines cannot change it.",
    runbook: "install intel-microcode or amd64-microcode and reboot; on a virtual machine ask the host",
    urgency: Urgency::Info,
    scale: Scale::PLAIN,
    pace: Pace::AT_ONCE,
};

/// The check.
pub struct CpuVulnerable;

impl Check for CpuVulnerable {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(kernel) = out.need(&case.slow.kernel) else { return };
        if kernel.cpus_present == 0 {
            return;
        }
        let names: Vec<&str> = kernel.vulnerable.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            return out.add("", Verdict::Ok, "every known hole has a remedy");
        }
        out.add_with("", Verdict::Warn, format!("vulnerable to {}", names.join(", ")), || {
            kernel.vulnerable.iter().map(|(name, told)| format!("{name}: {told}\n")).collect()
        });
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_hole_is_named() {
        check(
            "cpu.vulnerable",
            "== proc/sys/kernel/tainted
0
== sys/devices/system/cpu/present
0-1
== sys/devices/system/cpu/vulnerabilities/mds
Vulnerable: Clear CPU buffers attempted, no microcode
== sys/devices/system/cpu/vulnerabilities/l1tf
Not affected
",
            expect![[r#"
                warn: vulnerable to mds
            "#]],
        );
    }
}
