//! `agent.spool`: what waits in the agent for an ack.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "agent.spool",
    summary: "what waits in the agent for an ack",
    manual: "Used part of each lane's spool. WARN from 50 %, CRIT from 80 %, CRIT at once when it cannot write (a \
             full or broken disk; the message is the system's). Beyond the budget the oldest metrics go and log files \
             wait.",
    runbook: "see agent.upstream; if the disk is full: df -h and fs.space",
    urgency: Urgency::Page,
    scale: Scale::above(50.0, 80.0, 5.0, "% used"),
    pace: Pace::of(1, 0, 2, 15),
};

/// The check.
pub struct AgentSpool;

impl Check for AgentSpool {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(own) = &case.own else { return };
        for spool in &own.spools {
            let name = spool.lane.name();
            let percent = words::percent(spool.used_bytes, spool.budget_bytes);
            let (used, budget) = (words::bytes(spool.used_bytes), words::bytes(spool.budget_bytes));
            let mut message = format!("{percent:.1}% used ({used} of {budget})");
            if spool.dropped > 0 {
                message.push_str(&format!(
                    ", {} dropped",
                    words::count(spool.dropped, "frame", "frames")
                ));
            }
            match &spool.write_error {
                Some(why) => {
                    out.add(name, Verdict::Crit, format!("cannot write: {why}; {message}"))
                }
                None => out.level(name, percent, message),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use muster_proto::lane::Lane;

    use crate::checks::door::check_own;
    use crate::checks::own::{OwnFacts, SpoolFacts};

    #[test]
    fn a_full_disk_says_so_in_its_own_words() {
        let spool = |lane, used_bytes, error: Option<&str>, dropped| SpoolFacts {
            lane,
            used_bytes,
            budget_bytes: 1000,
            write_error: error.map(str::to_owned),
            dropped,
        };
        let spools = vec![
            spool(Lane::State, 10, None, 0),
            spool(Lane::Metrics, 600, None, 7),
            spool(Lane::Logs, 20, Some("No space left on device (os error 28)"), 0),
        ];
        let own = OwnFacts { spools, ..OwnFacts::default() };
        check_own(
            "agent.spool",
            &own,
            expect![[r#"
            ok state: 1.0% used (10 B of 1000 B)
            warn metrics: 60.0% used (600 B of 1000 B), 7 frames dropped
            crit logs: cannot write: No space left on device (os error 28); 2.0% used (20 B of 1000 B)
        "#]],
        );
    }
}
