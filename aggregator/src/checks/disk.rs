//! `aggregator.disk`: room on the disk of the state directory.

use muster_proto::checks::{Pace, Scale};
use muster_proto::verdict::{Urgency, Verdict};

use super::{About, Answer, Check, Look, percent};

const ABOUT: About = About {
    id: "aggregator.disk",
    manual: "Free space where the inbox and the stores lie. WARN below 10 %: the oldest day of logs and metrics is \
             removed. CRIT below 5 %: nothing more is acked and agents go elsewhere, until 7 % are free.",
    runbook: "shorten retention, remove what is not ours, or give it a bigger disk",
    urgency: Urgency::Page,
    scale: Scale::below(10.0, 5.0, 2.0, "% free"),
    pace: Pace::of(2, 0, 3, 2),
};

/// The check.
pub struct Disk;

impl Check for Disk {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, look: &Look<'_>, out: &mut Vec<Answer>) {
        let free = match &look.facts.disk_free {
            Ok(free) => *free,
            Err(why) => {
                let message = format!("nobody knows how much is free: {why}");
                let (instance, verdict) = (String::new(), Verdict::Unknown);
                return out.push(Answer { instance, verdict, message });
            }
        };
        let mut message = format!("{} free", percent(free));
        if look.facts.stops_acking {
            message.push_str("; nothing is acked, agents keep what they have or go elsewhere");
        }
        out.push(look.level(&ABOUT.scale, "", (free * 100.0, message)));
    }
}
