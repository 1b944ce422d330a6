//! `aggregator.peer`: whether every other aggregator is linked.

use muster_proto::checks::{Pace, Scale};
use muster_proto::verdict::{Urgency, Verdict};

use super::{About, Answer, Check, Look};

const ABOUT: About = About {
    id: "aggregator.peer",
    manual: "One for each [[peer]]. CRIT when no link to it has been open for half a minute: answers lack what only it \
             holds, and say so.",
    runbook: "is it running, and may 7460/udp pass between the two",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::of(3, 30, 2, 1),
};

/// The check.
pub struct Peer;

impl Check for Peer {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, look: &Look<'_>, out: &mut Vec<Answer>) {
        for (name, is_linked) in &look.facts.peers {
            let (verdict, message) =
                if *is_linked { (Verdict::Ok, "linked") } else { (Verdict::Crit, "not linked") };
            out.push(Answer { instance: name.clone(), verdict, message: message.to_owned() });
        }
    }
}
