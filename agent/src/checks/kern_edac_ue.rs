//! `kern.edac_ue`: memory errors that could not be corrected.

use muster_proto::verdict::Urgency;

use super::definition::{About, Bad, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "kern.edac_ue",
    summary: "memory errors that could not be corrected",
    manual: "CRIT at the first uncorrectable memory error since boot (Netdata). Something on this host has computed \
             with wrong bits.",
    runbook: "take the host out of service; edac-util -v names the DIMM",
    urgency: Urgency::Page,
    scale: Scale { bad: Bad::Above, warn: None, crit: Some(1.0), band: 0.0, unit: "errors" },
    pace: Pace::AT_ONCE,
};

/// The check.
pub struct KernEdacUe;

impl Check for KernEdacUe {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(controllers) = out.need(&case.slow.edac) else { return };
        for controller in controllers {
            let message = format!("{} since boot", controller.uncorrected);
            out.level(&controller.name, controller.uncorrected as f64, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn the_first_is_critical() {
        check(
            "kern.edac_ue",
            "== sys/devices/system/edac/mc/mc0/ce_count
0
== sys/devices/system/edac/mc/mc0/ue_count
1
== proc/stat
btime 1766966400
",
            expect![[r#"
                crit mc0: 1 since boot
            "#]],
        );
    }
}
