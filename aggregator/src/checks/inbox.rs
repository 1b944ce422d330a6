//! `aggregator.inbox`: whether each lane takes frames in, and how full it is.

use muster_proto::checks::{Pace, Scale};
use muster_proto::verdict::{Urgency, Verdict};

use super::{About, Answer, Check, Look, percent};

const ABOUT: About = About {
    id: "aggregator.inbox",
    manual: "One for each lane. CRIT while the disk refuses what arrives or there is no room for it: nothing is acked, \
             agents keep their frames or go elsewhere. WARN from 80 % of [store] inbox on, CRIT from 95 %: a store \
             is behind.",
    runbook: "see aggregator.disk and aggregator.store; the journal names the error",
    urgency: Urgency::Page,
    scale: Scale::above(80.0, 95.0, 5.0, "% of its limit"),
    pace: Pace::of(2, 0, 3, 2),
};

/// The check.
pub struct LaneInbox;

impl Check for LaneInbox {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, look: &Look<'_>, out: &mut Vec<Answer>) {
        for lane in &look.facts.lanes {
            if let Some(why) = &lane.refusal {
                let message = format!("takes in no {}: {why}", lane.lane);
                let (instance, verdict) = (lane.lane.clone(), Verdict::Crit);
                out.push(Answer { instance, verdict, message });
                continue;
            }
            let used = lane.bytes as f64 / lane.budget_bytes.max(1) as f64;
            let message = format!("{} of its {} MiB", percent(used), lane.budget_bytes >> 20);
            out.push(look.level(&ABOUT.scale, &lane.lane, (used * 100.0, message)));
        }
    }
}
