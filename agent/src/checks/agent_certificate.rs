//! `agent.certificate`: life left in the agent's certificate.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "agent.certificate",
    summary: "life left in the agent's certificate",
    manual: "Life left in the certificate the agent shows to aggregators, in percent of its whole life. It is renewed \
             long before; WARN below 20 %, CRIT below 5 % (own figures): renewal does not work, and at the end the \
             uplink is refused.",
    runbook: "muster-agent status; an aggregator with the CA must be reachable, or enroll anew with a token",
    urgency: Urgency::Ticket,
    scale: Scale::below(20.0, 5.0, 0.0, "% of life left"),
    pace: Pace::MINUTE,
};

/// The check.
pub struct AgentCertificate;

impl Check for AgentCertificate {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(certificate) = case.own.as_ref().and_then(|own| own.certificate) else { return };
        let now = case.facts.clock.utc;
        let life_s = certificate.expires_at.since(certificate.issued_at).as_secs();
        let left_s = certificate.expires_at.since(now).as_secs();
        let percent = words::percent(left_s, life_s);
        let message = if left_s == 0 {
            format!("expired {} ago", words::span(now.since(certificate.expires_at).as_secs()))
        } else {
            format!("{} left, {percent:.0}% of its life", words::span(left_s))
        };
        out.level("", percent, message);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use muster_proto::clock::Utc;

    use crate::checks::door::{START_S, check_own};
    use crate::checks::own::{CertificateFacts, OwnFacts};

    /// A certificate of 100 days that ends so many days after now.
    #[track_caller]
    fn check(days_left: i64, expected: Expect) {
        let day = |days: i64| Utc((START_S + days * 86_400) * 1_000_000);
        let certificate =
            CertificateFacts { issued_at: day(days_left - 100), expires_at: day(days_left) };
        check_own(
            "agent.certificate",
            &OwnFacts { certificate: Some(certificate), ..OwnFacts::default() },
            expected,
        );
    }

    #[test]
    fn it_is_judged_by_its_life() {
        check(
            90,
            expect![[r#"
            ok: 90 d 0 h left, 90% of its life
        "#]],
        );
        check(
            19,
            expect![[r#"
            warn: 19 d 0 h left, 19% of its life
        "#]],
        );
        check(
            4,
            expect![[r#"
            crit: 4 d 0 h left, 4% of its life
        "#]],
        );
        check(
            -2,
            expect![[r#"
            crit: expired 2 d 0 h ago
        "#]],
        );
    }
}
