//! What every check says now. Pure; facts and time are told.

use std::collections::BTreeMap;

use muster_proto::checks::Debounce;
use muster_proto::clock::{Moment, Utc};
use muster_proto::state::CheckState;
use muster_proto::verdict::Verdict;

use super::{About, Answer, CHECKS, Check, Facts, Look};

/// Time after a look during which its answers count; then they are shown as stale. Seconds.
pub const VALID_FOR_S: u32 = 60;

/// What every check says now.
#[derive(Default)]
pub struct Board {
    entries: BTreeMap<(&'static str, String), Entry>,
    before: Option<Facts>,
    looked_at: Utc,
}

/// One instance of one check.
struct Entry {
    about: &'static About,
    debounce: Debounce,
    message: String,
    seen: bool,
}

impl Board {
    /// Takes what the aggregator says of itself now.
    pub fn on_look(&mut self, now: Moment, facts: Facts) {
        self.looked_at = now.utc;
        for entry in self.entries.values_mut() {
            entry.seen = false;
        }
        for check in CHECKS {
            for answer in self.ask(*check, now.utc, &facts) {
                self.take(check.about(), answer, now);
            }
        }
        self.entries.retain(|_, entry| entry.seen);
        self.before = Some(facts);
    }

    /// Every row, by id and instance.
    pub fn states(&self) -> Vec<CheckState> {
        self.entries.iter().map(|((_, instance), entry)| self.state(instance, entry)).collect()
    }

    fn ask(&self, check: &dyn Check, now: Utc, facts: &Facts) -> Vec<Answer> {
        let id = check.about().id;
        let shown = |instance: &str| {
            let entry = self.entries.get(&(id, instance.to_owned()))?;
            Some(entry.debounce.shown())
        };
        let mut answers = Vec::new();
        check
            .judge(&Look { facts, before: self.before.as_ref(), now, shown: &shown }, &mut answers);
        answers
    }

    fn take(&mut self, about: &'static About, answer: Answer, now: Moment) {
        let Answer { instance, verdict, message } = answer;
        let entry = self.entries.entry((about.id, instance)).or_insert_with(|| Entry {
            about,
            debounce: Debounce::new(now),
            message: String::new(),
            seen: true,
        });
        entry.seen = true;
        entry.debounce.on_answer(now, verdict, &about.pace);
        // While a problem is shown that is just over, its words stay: "ok" beside CRIT helps nobody.
        let is_over = verdict == Verdict::Ok && entry.debounce.shown() != Verdict::Ok;
        if entry.message.is_empty() || !is_over {
            entry.message = message;
        }
    }

    fn state(&self, instance: &str, entry: &Entry) -> CheckState {
        CheckState {
            id: entry.about.id.to_owned(),
            instance: instance.to_owned(),
            verdict: entry.debounce.shown(),
            since: entry.debounce.since(),
            at: self.looked_at,
            valid_for_s: VALID_FOR_S,
            urgency: entry.about.urgency,
            message: entry.message.clone(),
            runbook: entry.about.runbook.to_owned(),
            owner: String::new(),
            evidence: String::new(),
        }
    }
}
