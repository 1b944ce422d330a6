//! `agent.upstream`: the line to the aggregators.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::own::UplinkFacts;
use super::words;

const ABOUT: About = About {
    id: "agent.upstream",
    summary: "the line to the aggregators",
    manual: "Time without a durable ack while something waits for one or nobody is connected. WARN from 2 minutes, \
             CRIT from 10. Nothing is lost meanwhile: the spool holds it.",
    runbook: "muster-agent status; firewall on 7460/udp, certificate, aggregators up?",
    urgency: Urgency::Ticket,
    scale: Scale::above(120.0, 600.0, 0.0, "s"),
    pace: Pace::of(2, 10, 1, 0),
};

/// The check.
pub struct AgentUpstream;

impl Check for AgentUpstream {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(uplink) = case.own.as_ref().and_then(|own| own.uplink.as_ref()) else { return };
        let late_s = match &uplink.connected_to {
            // A line with nothing to say is not late.
            Some(_) if !uplink.has_unacked => 0,
            _ => case
                .facts
                .clock
                .utc
                .since(uplink.last_ack_at.unwrap_or(uplink.started_at))
                .as_secs(),
        };
        out.level("", late_s as f64, message(uplink, late_s));
    }
}

fn message(uplink: &UplinkFacts, late_s: u64) -> String {
    let late =
        if late_s == 0 { String::new() } else { format!(", no ack for {}", words::span(late_s)) };
    match (&uplink.connected_to, &uplink.last_error) {
        (Some(name), _) if uplink.is_home => format!("connected to {name}{late}"),
        (Some(name), _) => format!("connected to {name}, away from home{late}"),
        (None, Some(why)) => format!("not connected: {why}{late}"),
        (None, None) => format!("not connected{late}"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use muster_proto::clock::Utc;

    use crate::checks::door::{START_S, check_own};
    use crate::checks::own::{OwnFacts, UplinkFacts};

    #[track_caller]
    fn check(uplink: UplinkFacts, expected: Expect) {
        check_own(
            "agent.upstream",
            &OwnFacts { uplink: Some(uplink), ..OwnFacts::default() },
            expected,
        );
    }

    fn ago(seconds: i64) -> Utc {
        Utc((START_S - seconds) * 1_000_000)
    }

    #[test]
    fn late_is_late_and_idle_is_not() {
        let uplink = UplinkFacts {
            connected_to: Some("agg1".into()),
            is_home: true,
            last_ack_at: Some(ago(300)),
            started_at: ago(9000),
            has_unacked: false,
            last_error: None,
        };
        check(
            uplink.clone(),
            expect![[r#"
            ok: connected to agg1
        "#]],
        );
        check(
            UplinkFacts { has_unacked: true, ..uplink.clone() },
            expect![[r#"
                warn: connected to agg1, no ack for 5 min
            "#]],
        );
        check(
            UplinkFacts { is_home: false, ..uplink.clone() },
            expect![[r#"
            ok: connected to agg1, away from home
        "#]],
        );
        let last_error = Some("agg1: no answer".to_owned());
        let lost = UplinkFacts { connected_to: None, last_ack_at: None, last_error, ..uplink };
        check(
            lost,
            expect![[r#"
                crit: not connected: agg1: no answer, no ack for 2 h 30 min
            "#]],
        );
    }
}
