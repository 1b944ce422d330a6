//! `pkg.reboot_required`: updates that wait for a reboot.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "pkg.reboot_required",
    summary: "updates that wait for a reboot",
    manual: "Age of /run/reboot-required, or of a newer kernel in /boot than the one that runs. WARN after 7 days, \
             CRIT after 30 (own figures: waiting for the next window is normal).",
    runbook: "plan a reboot; needrestart -b names what waits",
    urgency: Urgency::Ticket,
    scale: Scale::above(7.0, 30.0, 0.0, "days"),
    pace: Pace::AT_ONCE,
};

const DAY_S: f64 = 86_400.0;

/// The check.
pub struct PkgRebootRequired;

impl Check for PkgRebootRequired {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(reboot) = out.need(&case.slow.reboot) else { return };
        let kernel = reboot.kernel.as_ref();
        let since = [reboot.flagged_at, kernel.map(|kernel| kernel.1)].into_iter().flatten().min();
        let Some(since) = since else {
            return out.level("", 0.0, "no reboot required");
        };
        let age_s = case.facts.clock.utc.since(since).as_secs();
        let mut why: Vec<String> =
            kernel.map(|(release, _)| format!("kernel {release}")).into_iter().collect();
        why.extend(reboot.packages.iter().cloned());
        let (age, why) = (words::span(age_s), why.join(", "));
        out.level("", age_s as f64 / DAY_S, format!("required for {age}: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn ten_days_warn() {
        check(
            "pkg.reboot_required",
            "== var/lib/dpkg/status
== run/reboot-required age=864000
*** System restart required ***
== run/reboot-required.pkgs
linux-image-6.1.0-38-amd64
dbus
",
            expect![[r#"
                warn: required for 10 d 0 h: dbus, linux-image-6.1.0-38-amd64
            "#]],
        );
    }

    #[test]
    fn nothing_waits() {
        check(
            "pkg.reboot_required",
            "== var/lib/dpkg/status
",
            expect![[r#"
                ok: no reboot required
            "#]],
        );
    }

    #[test]
    fn not_debian_no_check() {
        check("pkg.reboot_required", "", expect![[""]]);
    }
}
