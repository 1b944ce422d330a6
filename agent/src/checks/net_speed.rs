//! `net.speed`: network cards slower than they should be.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Bad, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::nics;

const ABOUT: About = About {
    id: "net.speed",
    summary: "network cards slower than they should be",
    manual: "WARN when the speed agreed on is below 1000 Mb/s (Wikimedia InterfaceSpeedError) or below what was first \
             seen; a faster one is learned as normal. Cards that do not know their speed are not asked.",
    runbook: "ethtool DEVICE; a pair of the cable is broken, or the other end is set by hand",
    urgency: Urgency::Ticket,
    scale: Scale { bad: Bad::Below, warn: Some(1000.0), crit: None, band: 0.0, unit: "Mb/s" },
    pace: Pace::MINUTE,
};

/// The check.
pub struct NetSpeed;

impl Check for NetSpeed {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(devices) = out.need(&case.facts.netclass) else { return };
        for nic in nics::in_use(case, devices) {
            let Some(now) = nic.speed_mbits.filter(|speed| *speed > 0) else { continue };
            let normal = out.baseline(&nic.device, &now.to_string()).parse::<i64>().unwrap_or(now);
            if now > normal {
                out.relearn(&nic.device, &now.to_string());
            }
            if now < normal {
                out.add(&nic.device, Verdict::Warn, format!("{now} Mb/s, was {normal} Mb/s"));
            } else {
                out.level(&nic.device, now as f64, format!("{now} Mb/s"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{check, with_card};

    #[test]
    fn slower_than_before_warns() {
        check(
            "net.speed",
            &with_card(
                "== sys/class/net/eth0/speed
10000
== +60
== sys/class/net/eth0/speed
1000
",
            ),
            expect![[r#"
                warn eth0: 1000 Mb/s, was 10000 Mb/s
            "#]],
        );
    }

    #[test]
    fn unknown_speed_no_check() {
        check(
            "net.speed",
            &with_card(
                "== sys/class/net/eth0/speed
-1
",
            ),
            expect![[""]],
        );
    }

    #[test]
    fn below_a_gigabit_warns() {
        check(
            "net.speed",
            &with_card(
                "== sys/class/net/eth0/speed
100
",
            ),
            expect![[r#"
                warn eth0: 100 Mb/s
            "#]],
        );
    }
}
