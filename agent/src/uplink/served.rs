//! Who acks our frames, and how long nobody did when that changed.

use std::time::Duration;

use muster_proto::clock::Mono;

/// A change of the aggregator that acks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Aggregator that acked before.
    pub from: String,
    /// Aggregator that acks since.
    pub to: String,
    /// When its first ack came.
    pub at: Mono,
    /// From the last durable ack of the one to the first of the other. It holds the time in which there
    /// was nothing to ack, so on an idle host it may be as long as a heartbeat.
    pub silent: Duration,
}

/// Who acks our frames.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// When the last durable ack came.
    pub acked_at: Option<Mono>,
    /// How often the aggregator that acks has changed.
    pub switches: u64,
    /// The last change.
    pub last_switch: Option<Switch>,
    by: String,
}

impl Served {
    /// A durable ack came from `aggregator`.
    pub(super) fn on_ack(&mut self, now: Mono, aggregator: &str) {
        let before = self.acked_at.replace(now);
        if self.by == aggregator {
            return;
        }
        let from = std::mem::replace(&mut self.by, aggregator.to_owned());
        if let Some(before) = before {
            let silent = now.since(before);
            self.switches += 1;
            self.last_switch = Some(Switch { from, to: aggregator.to_owned(), at: now, silent });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_another_aggregator_not_another_connection() {
        let mut served = Served::default();
        let at = |ms: u64| Mono(ms * 1000);
        for (ms, aggregator) in [(10, "a"), (20, "a"), (30, "a")] {
            served.on_ack(at(ms), aggregator);
        }
        assert_eq!((served.switches, &served.last_switch), (0, &None));
        served.on_ack(at(700), "b");
        served.on_ack(at(710), "b");
        let silent = Duration::from_millis(670);
        let switch = Switch { from: "a".into(), to: "b".into(), at: at(700), silent };
        assert_eq!((served.switches, served.last_switch), (1, Some(switch)));
        assert_eq!(served.acked_at, Some(at(710)));
    }
}
