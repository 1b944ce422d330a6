//! `net.errors`: damaged packets on network cards.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::{nics, words};

const ABOUT: About = About {
    id: "net.errors",
    summary: "damaged packets on network cards",
    manual: "Errors in percent of packets within an hour, both directions, from a thousand packets on. WARN from 1 % \
             (node-mixin), CRIT from 10 %.",
    runbook: "ethtool -S DEVICE; swap cable and optics, check duplex and MTU on both ends",
    urgency: Urgency::Ticket,
    scale: Scale::above(1.0, 10.0, 0.2, "% of packets"),
    pace: Pace::MINUTES_5,
};

const WINDOW: Duration = Duration::from_secs(3600);
/// Fewer packets prove nothing.
const PACKETS_MIN: f64 = 1000.0;

/// The check.
pub struct NetErrors;

impl Check for NetErrors {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(devices) = out.need(&case.facts.netclass) else { return };
        let _counters = out.need(&case.facts.netdev);
        for nic in nics::in_use(case, devices) {
            let growth =
                |what: &str| case.history.growth(&format!("net.{what} {}", nic.device), WINDOW);
            let (Some(errors), Some(packets)) = (growth("errs"), growth("packets")) else {
                continue;
            };
            let percent = match packets.grown + errors.grown {
                all if all >= PACKETS_MIN => errors.grown * 100.0 / all,
                _ => 0.0,
            };
            let over = words::span(packets.span.as_secs());
            let message =
                format!("{} errors on {} packets over {over}", errors.grown, packets.grown);
            out.level(&nic.device, percent, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{check, later, with_card};

    fn traffic(counters: &str) -> String {
        format!(
            "== proc/net/dev\nInter-|\n face |bytes packets errs drop fifo frame compressed multicast\
                 |bytes packets errs drop fifo colls carrier compressed\neth0: {counters}\n"
        )
    }

    #[test]
    fn errors_are_judged_against_traffic() {
        check(
            "net.errors",
            &later(
                &with_card(&traffic("0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0")),
                &traffic("0 4000 90 0 0 0 0 0 0 1000 30 0 0 0 0 0"),
            ),
            expect![[r#"
                warn eth0: 120 errors on 5000 packets over 1 min
            "#]],
        );
    }

    #[test]
    fn a_few_packets_prove_nothing() {
        check(
            "net.errors",
            &later(
                &with_card(&traffic("0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0")),
                &traffic("0 4 90 0 0 0 0 0 0 10 30 0 0 0 0 0"),
            ),
            expect![[r#"
                ok eth0: 120 errors on 14 packets over 1 min
            "#]],
        );
    }
}
