//! `net.retrans`: segments sent again.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "net.retrans",
    summary: "segments sent again",
    manual: "TCP segments sent again in percent of all sent over ten minutes, from a thousand on. WARN from 2 %, CRIT \
             from 10 % (own figures). Usually the path, not this host.",
    runbook: "ss -ti; mtr to the peers that retransmit",
    urgency: Urgency::Info,
    scale: Scale::above(2.0, 10.0, 0.5, "% of segments"),
    pace: Pace::MINUTES_10,
};

const WINDOW: Duration = Duration::from_secs(600);
/// Fewer segments prove nothing.
const SEGMENTS_MIN: f64 = 1000.0;

/// The check.
pub struct NetRetrans;

impl Check for NetRetrans {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let _counters = out.need(&case.facts.netstat);
        let growth = |name| case.history.growth(name, WINDOW);
        let (Some(again), Some(sent)) = (growth("Tcp.RetransSegs"), growth("Tcp.OutSegs")) else {
            return;
        };
        let percent =
            if sent.grown >= SEGMENTS_MIN { again.grown * 100.0 / sent.grown } else { 0.0 };
        out.level(
            "",
            percent,
            format!("{percent:.1}% sent again ({} of {})", again.grown, sent.grown),
        );
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{check, counted, later};

    #[test]
    fn five_percent_warns() {
        check(
            "net.retrans",
            &later(&counted("0 0", "0 0", "0 0"), &counted("100 2000", "0 0", "0 0")),
            expect![[r#"
                warn: 5.0% sent again (100 of 2000)
            "#]],
        );
    }

    #[test]
    fn a_few_prove_nothing() {
        check(
            "net.retrans",
            &later(&counted("0 0", "0 0", "0 0"), &counted("9 20", "0 0", "0 0")),
            expect![[r#"
                ok: 0.0% sent again (9 of 20)
            "#]],
        );
    }
}
