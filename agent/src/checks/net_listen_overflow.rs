//! `net.listen_overflow`: connections a full backlog refused.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "net.listen_overflow",
    summary: "connections a full backlog refused",
    manual: "Connections refused each second over five minutes because a listening socket's backlog was full. WARN \
             from 1, CRIT from 5 (Netdata).",
    runbook: "ss -ltn: Recv-Q against Send-Q names the port; raise its backlog and net.core.somaxconn",
    urgency: Urgency::Ticket,
    scale: Scale::above(1.0, 5.0, 0.2, "/s"),
    pace: Pace::MINUTE,
};

const WINDOW: Duration = Duration::from_secs(300);

/// The check.
pub struct NetListenOverflow;

impl Check for NetListenOverflow {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let _counters = out.need(&case.facts.netstat);
        let Some(rate) = case.history.rate(&["TcpExt.ListenOverflows"], WINDOW) else { return };
        out.level("", rate, format!("{rate:.1} overflows a second"));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{check, counted, later};

    #[test]
    fn overflows_in_a_minute() {
        check(
            "net.listen_overflow",
            &later(&counted("0 0", "0 0", "0 0"), &counted("0 0", "0 0", "120 120")),
            expect![[r#"
                warn: 2.0 overflows a second
            "#]],
        );
    }

    #[test]
    fn one_look_is_no_rate() {
        check("net.listen_overflow", &counted("0 0", "0 0", "9999 9999"), expect![[""]]);
    }
}
