//! `unit.crashloop`: services that die and are started again.

use std::time::Duration;

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "unit.crashloop",
    summary: "services that die and are started again",
    manual: "Automatic restarts of a service within ten minutes. WARN from 4 (node-mixin: more than 2 in 5 min), CRIT \
             from 12 (Wikimedia). It looks alive whenever somebody looks.",
    runbook: "journalctl -u UNIT -e; coredumpctl list UNIT",
    urgency: Urgency::Ticket,
    scale: Scale::above(4.0, 12.0, 1.0, "restarts in 10 min"),
    pace: Pace::of(1, 0, 2, 120),
};

const WINDOW: Duration = Duration::from_secs(600);

/// The check.
pub struct UnitCrashloop;

impl Check for UnitCrashloop {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(told) = out.need_still(&case.facts.units) else { return };
        let (mut asked, mut looping) = (0_u64, 0_u64);
        for unit in told.units.iter().filter(|unit| unit.restarts.is_some()) {
            asked += 1;
            let growth = case.history.growth(&format!("unit.restarts {}", unit.name), WINDOW);
            let restarts = growth.map_or(0.0, |growth| growth.grown);
            let is_shown_bad = out.previous(&unit.name).is_some_and(|shown| shown != Verdict::Ok);
            if is_shown_bad || out.verdict_of(&unit.name, restarts) != Verdict::Ok {
                looping += 1;
                let restarts_word = words::count(restarts as u64, "restart", "restarts");
                let message = format!(
                    "{restarts_word} in 10 min, now {} ({})",
                    unit.active_state, unit.sub_state
                );
                out.level(&unit.name, restarts, message);
            }
        }
        if asked > 0 {
            out.add("", Verdict::Ok, format!("{looping} of {asked} services restart in a loop"));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn five_restarts_in_a_minute() {
        check(
            "unit.crashloop",
            "== recorded/units
version 252
state running
virtualization kvm
unit a.service loaded active running simple 1
unit b.service loaded active running simple 0
== +60
== recorded/units
version 252
state running
virtualization kvm
unit a.service loaded activating auto-restart simple 6
unit b.service loaded active running simple 0
",
            expect![[r#"
                warn a.service: 5 restarts in 10 min, now activating (auto-restart)
                ok: 1 of 2 services restart in a loop
            "#]],
        );
    }
}
