//! `unit.failed`: units that failed.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "unit.failed",
    summary: "units that failed",
    manual: "CRIT for each unit of systemd in state failed for three minutes (Wikimedia SystemdUnitFailed). A unit \
             that runs again clears; one that was reset or removed is retired.",
    runbook: "systemctl status UNIT; journalctl -u UNIT -e",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::MINUTES_3,
};

/// The check.
pub struct UnitFailed;

impl Check for UnitFailed {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(told) = out.need_still(&case.facts.units) else { return };
        let failed = told.failed().count();
        let word = if failed == 0 {
            "no unit failed".to_owned()
        } else {
            format!("{failed} failed, see each")
        };
        out.add(
            "",
            Verdict::Ok,
            format!("{word}, {} loaded, system {}", told.units.len(), told.system_state),
        );
        for unit in told.failed() {
            let message = format!("failed ({})", unit.sub_state);
            out.add_with(&unit.name, Verdict::Crit, message, || {
                format!(
                    "{} {} {} {}\n",
                    unit.name, unit.load_state, unit.active_state, unit.sub_state
                )
            });
        }
        for name in out.known() {
            // A problem that was shown is cleared by a good answer, then the unit needs no line of its own.
            let is_shown_bad = out.previous(&name).is_some_and(|shown| shown != Verdict::Ok);
            match told.unit(&name) {
                Some(unit) if is_shown_bad && unit.active_state != "failed" => {
                    out.add(
                        &name,
                        Verdict::Ok,
                        format!("{} ({})", unit.active_state, unit.sub_state),
                    );
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn each_failed_unit_has_its_line() {
        check(
            "unit.failed",
            "== recorded/units
version 252
state running
virtualization kvm
unit ssh.service loaded active running notify 0
unit nginx.service loaded failed failed forking 2
",
            expect![[r#"
                ok: 1 failed, see each, 2 loaded, system running
                crit nginx.service: failed (failed)
            "#]],
        );
    }

    #[test]
    fn without_systemd_no_check() {
        check("unit.failed", "", expect![[""]]);
    }
}
