//! `aggregator.store`: whether each store keeps up with its inbox.

use muster_proto::checks::{Pace, Scale};
use muster_proto::verdict::{Urgency, Verdict};

use super::{About, Answer, Check, Look};

const ABOUT: About = About {
    id: "aggregator.store",
    manual: "One for each store. CRIT while it fails: answers lack what arrived since, the inbox keeps it. WARN while \
             2000 frames or more wait for it.",
    runbook: "the journal names the error; the inbox keeps what waits until the store works again",
    urgency: Urgency::Ticket,
    scale: Scale::warn_above(2_000.0, 1_000.0, "frames"),
    pace: Pace::of(3, 5, 3, 10),
};

/// The check.
pub struct Store;

impl Check for Store {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, look: &Look<'_>, out: &mut Vec<Answer>) {
        for store in &look.facts.stores {
            let before = look
                .before
                .and_then(|facts| facts.stores.iter().find(|earlier| earlier.store == store.store));
            if before.is_some_and(|before| store.failures > before.failures) {
                let message = format!("fails: {}", store.last_error);
                let (instance, verdict) = (store.store.clone(), Verdict::Crit);
                out.push(Answer { instance, verdict, message });
                continue;
            }
            let message = format!("{} frames wait for it", store.waiting);
            out.push(look.level(&ABOUT.scale, &store.store, (store.waiting as f64, message)));
        }
    }
}
