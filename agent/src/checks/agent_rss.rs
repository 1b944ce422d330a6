//! `agent.rss`: memory of the agent itself.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "agent.rss",
    summary: "memory of the agent itself",
    manual: "Resident memory of the agent. WARN from 64 MiB, CRIT from 128 MiB, against a goal of 15 MiB at rest and \
             40 MiB in an outage.",
    runbook: "muster-agent snapshot, then systemctl restart muster-agent; nothing is lost",
    urgency: Urgency::Ticket,
    scale: Scale::above(64.0, 128.0, 4.0, "MiB"),
    pace: Pace::MINUTES_5,
};

/// The check.
pub struct AgentRss;

impl Check for AgentRss {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(rss) = case.own.as_ref().and_then(|own| own.rss_bytes) else { return };
        out.level("", rss as f64 / f64::from(1 << 20), format!("{} resident", words::bytes(rss)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check_own;
    use crate::checks::own::OwnFacts;

    #[test]
    fn sixty_four_mebibytes_are_too_much() {
        check_own(
            "agent.rss",
            &OwnFacts { rss_bytes: Some(70 << 20), ..OwnFacts::default() },
            expect![[r#"
                warn: 70.0 MiB resident
            "#]],
        );
        check_own("agent.rss", &OwnFacts::default(), expect![[""]]);
    }
}
