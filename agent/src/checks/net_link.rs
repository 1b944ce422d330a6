//! `net.link`: network cards that lost their link.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::nics;

const ABOUT: About = About {
    id: "net.link",
    summary: "network cards that lost their link",
    manual: "CRIT when a network card with hardware below it is up for the administrator but has no carrier for a \
             minute, and had one when first seen. A card that never had a cable is normal.",
    runbook: "ethtool DEVICE; cable, switch port, optics",
    urgency: Urgency::Page,
    scale: Scale::PLAIN,
    pace: Pace::MINUTE,
};

/// The check.
pub struct NetLink;

impl Check for NetLink {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(devices) = out.need(&case.facts.netclass) else { return };
        for nic in nics::in_use(case, devices) {
            let Some(carrier) = nic.carrier else { continue };
            let now = if carrier == 1 { "up" } else { "down" };
            let normal = out.baseline(&nic.device, now);
            if carrier == 1 && normal == "down" {
                out.relearn(&nic.device, now);
            }
            let is_lost = carrier != 1 && normal == "up";
            let verdict = if is_lost { Verdict::Crit } else { Verdict::Ok };
            let word = if is_lost { "no link, had one" } else { now };
            out.add(&nic.device, verdict, format!("{word} (operstate {})", nic.operstate));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{check, with_card};

    #[test]
    fn a_card_that_had_a_link_and_lost_it() {
        check(
            "net.link",
            &with_card(
                "== sys/class/net/eth0/carrier
1
== sys/class/net/eth0/operstate
up
== +60
== sys/class/net/eth0/carrier
0
== sys/class/net/eth0/operstate
down
",
            ),
            expect![[r#"
                crit eth0: no link, had one (operstate down)
            "#]],
        );
    }

    #[test]
    fn a_card_that_never_had_one_is_normal() {
        check(
            "net.link",
            &with_card(
                "== sys/class/net/eth0/carrier
0
== sys/class/net/eth0/operstate
down
",
            ),
            expect![[r#"
                ok eth0: down (operstate down)
            "#]],
        );
    }

    #[test]
    fn a_card_taken_down_on_purpose_has_no_check() {
        check(
            "net.link",
            &with_card(
                "== sys/class/net/eth0/flags
0x1002
== sys/class/net/eth0/operstate
down
",
            ),
            expect![[""]],
        );
    }
}
