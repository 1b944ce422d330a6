//! `net.flap`: links that come and go.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::{nics, words};

const ABOUT: About = About {
    id: "net.flap",
    summary: "links that come and go",
    manual: "Changes of carrier within an hour. WARN from 6, CRIT from 30 (own figures): a cable, an optic or a \
             switch port is dying.",
    runbook: "swap cable and optics; look at the same port on the switch",
    urgency: Urgency::Ticket,
    scale: Scale::above(6.0, 30.0, 0.0, "changes in 1 h"),
    pace: Pace::AT_ONCE,
};

const WINDOW: Duration = Duration::from_secs(3600);

/// The check.
pub struct NetFlap;

impl Check for NetFlap {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(devices) = out.need(&case.facts.netclass) else { return };
        for nic in nics::in_use(case, devices) {
            let Some(growth) = case.history.growth(&format!("net.carrier {}", nic.device), WINDOW)
            else {
                continue;
            };
            let changes = words::count(growth.grown as u64, "change", "changes");
            let message = format!("{changes} of carrier in {}", words::span(growth.span.as_secs()));
            out.level(&nic.device, growth.grown, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{check, with_card};

    #[test]
    fn a_dying_cable_shows() {
        check(
            "net.flap",
            &with_card(
                "== sys/class/net/eth0/carrier_changes
2
== +60
== sys/class/net/eth0/carrier_changes
12
",
            ),
            expect![[r#"
                warn eth0: 10 changes of carrier in 1 min
            "#]],
        );
    }
}
