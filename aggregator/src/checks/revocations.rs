//! `aggregator.revocations`: whether we hear which certificates are revoked.

use muster_proto::checks::{Pace, Scale};
use muster_proto::verdict::{Urgency, Verdict};

use super::{About, Answer, Check, Look, span};

const ABOUT: About = About {
    id: "aggregator.revocations",
    manual: "Time since the authority, here or at a peer, said which certificates are revoked. WARN from 10 minutes on, \
             CRIT from a day on: a revoked host may still connect. CRIT as well when a list is refused, because it \
             is not signed by the authority or is older than the one we have.",
    runbook: "the aggregator with the authority must be linked; a refused list may be an attack: ask the peer named",
    urgency: Urgency::Ticket,
    scale: Scale::above(600.0, 86_400.0, 0.0, "s"),
    pace: Pace::of(2, 0, 2, 1),
};

/// The check.
pub struct Revocations;

impl Check for Revocations {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, look: &Look<'_>, out: &mut Vec<Answer>) {
        let known = &look.facts.revocations;
        if let Some(trouble) = &known.trouble {
            let (instance, verdict) = (String::new(), Verdict::Crit);
            return out.push(Answer { instance, verdict, message: trouble.clone() });
        }
        let age = look.now.since(known.heard_at);
        let message = format!("heard {} ago", span(age));
        out.push(look.level(&ABOUT.scale, "", (age.as_secs_f64(), message)));
    }
}
