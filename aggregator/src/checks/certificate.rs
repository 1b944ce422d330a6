//! `aggregator.certificate`: life left in our own certificate.

use muster_proto::checks::{Pace, Scale};
use muster_proto::verdict::Urgency;

use super::{About, Answer, Check, Look, percent, span};

const ABOUT: About = About {
    id: "aggregator.certificate",
    manual: "Life left in the certificate shown to agents and peers. It is renewed at a third. WARN below 20 %, CRIT \
             below 5 %: renewal does not work, and at the end every agent refuses this aggregator.",
    runbook: "the aggregator with the authority must be linked; the journal says why it does not renew",
    urgency: Urgency::Page,
    scale: Scale::below(20.0, 5.0, 0.0, "% of life left"),
    pace: Pace::of(2, 0, 2, 0),
};

/// The check.
pub struct Certificate;

impl Check for Certificate {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, look: &Look<'_>, out: &mut Vec<Answer>) {
        let certificate = look.facts.certificate;
        let life = certificate.expires_at.since(certificate.issued_at);
        let left = certificate.expires_at.since(look.now);
        let share = left.as_secs_f64() / life.as_secs_f64().max(1.0);
        let message = if left.is_zero() {
            format!("expired {} ago", span(look.now.since(certificate.expires_at)))
        } else {
            format!("{} left, {} of its life", span(left), percent(share))
        };
        out.push(look.level(&ABOUT.scale, "", (share * 100.0, message)));
    }
}
