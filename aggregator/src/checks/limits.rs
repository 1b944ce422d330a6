//! `aggregator.limits`: whether a limit was hit that bounds what one host can make us remember.

use muster_proto::checks::{Pace, Scale};
use muster_proto::verdict::{Urgency, Verdict};

use super::{About, Answer, Check, Look};

const ABOUT: About = About {
    id: "aggregator.limits",
    manual: "One for each limit of what hosts can make an aggregator remember. WARN for ten minutes after one was hit: \
             something was forgotten or not taken, see muster_aggregator_limit_hits_total. A good host comes near \
             none of them.",
    runbook: "find the host in the journal; muster-aggregator cert revoke NAME if it is not what it should be",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::of(1, 0, 2, 600),
};

/// The check.
pub struct Limits;

impl Check for Limits {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, look: &Look<'_>, out: &mut Vec<Answer>) {
        for (limit, hits) in &look.facts.overflows {
            let earlier = look.before.and_then(|facts| {
                facts.overflows.iter().find(|(name, _)| name == limit).map(|(_, hits)| *hits)
            });
            let is_news = *hits > earlier.unwrap_or(0);
            let verdict = if is_news { Verdict::Warn } else { Verdict::Ok };
            let message = format!("hit {hits} times since the start");
            out.push(Answer { instance: (*limit).to_owned(), verdict, message });
        }
    }
}
