//! `net.duplex`: network cards that cannot talk and listen at once.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::nics;

const ABOUT: About = About {
    id: "net.duplex",
    summary: "network cards that cannot talk and listen at once",
    manual: "WARN when a card agreed on half duplex (Wikimedia InterfaceDuplexError): late collisions and a tenth of \
             the throughput.",
    runbook: "ethtool DEVICE; set both ends to autonegotiate",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::MINUTE,
};

/// The check.
pub struct NetDuplex;

impl Check for NetDuplex {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(devices) = out.need(&case.facts.netclass) else { return };
        for nic in nics::in_use(case, devices) {
            match nic.duplex.as_str() {
                "full" => out.add(&nic.device, Verdict::Ok, "full duplex"),
                "half" => out.add(&nic.device, Verdict::Warn, "half duplex"),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{check, with_card};

    #[test]
    fn half_duplex_warns() {
        check(
            "net.duplex",
            &with_card(
                "== sys/class/net/eth0/duplex
half
",
            ),
            expect![[r#"
                warn eth0: half duplex
            "#]],
        );
    }

    #[test]
    fn unknown_no_check() {
        check(
            "net.duplex",
            &with_card(
                "== sys/class/net/eth0/duplex
unknown
",
            ),
            expect![[""]],
        );
    }
}
