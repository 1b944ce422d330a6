//! `net.udp_buf`: datagrams lost in full socket buffers.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "net.udp_buf",
    summary: "datagrams lost in full socket buffers",
    manual: "Datagrams lost each second over five minutes because a socket buffer was full. WARN from 10 (Netdata).",
    runbook: "ss -uam shows drops; raise net.core.rmem_max and the program's SO_RCVBUF",
    urgency: Urgency::Ticket,
    scale: Scale::warn_above(10.0, 2.0, "/s"),
    pace: Pace::MINUTE,
};

const WINDOW: Duration = Duration::from_secs(300);
const COUNTERS: &[&str] =
    &["Udp.RcvbufErrors", "Udp.SndbufErrors", "Udp6.RcvbufErrors", "Udp6.SndbufErrors"];

/// The check.
pub struct NetUdpBuf;

impl Check for NetUdpBuf {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let _counters = out.need(&case.facts.netstat);
        let Some(rate) = case.history.rate(COUNTERS, WINDOW) else { return };
        out.level("", rate, format!("{rate:.1} datagrams lost a second"));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{check, counted, later};

    #[test]
    fn losses_in_a_minute() {
        check(
            "net.udp_buf",
            &later(&counted("0 0", "0 0", "0 0"), &counted("0 0", "1200 0", "0 0")),
            expect![[r#"
                warn: 20.0 datagrams lost a second
            "#]],
        );
    }
}
