//! What every check says now, and what of it is news. Pure; facts and time are told.
//!
//! Room: `checks`.  May use: `proto`.  Used by: the app.
//!
//! Invariants
//! - Out of a round come changes, lines that matter and refreshes before a state goes stale; nothing else.
//! - An object must be away for [`GONE_EVALS`] rounds over [`GONE_AFTER`] before its check is retired, so a
//!   restart or an interface that is reset retires nothing. Retired is not resolved.
//! - Evidence is of the moment when the answer first turned bad, not of the moment it was believed.
//! - What is restored is shown with its old time until it is asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_proto::checks::{Debounce, Shown};
use muster_proto::clock::{Mono, Utc};
use muster_proto::state::{CheckState, StateRecord};
use muster_proto::verdict::Verdict;
use serde::{Deserialize, Serialize};

use super::definition::{About, Check};
use super::findings::{Baselines, Earlier, Finding, Findings};
use super::gather::Case;
use super::settings::Settings;
use crate::facts::clock::Clock;

/// Time after its evaluation during which a state counts. Seconds. Three refreshes.
pub const VALID_FOR_S: u32 = 900;
/// A state is sent again after this, news or not, so that it does not go stale.
pub const REFRESH_AFTER: Duration = Duration::from_secs(300);
/// A changed message of an unchanged verdict is sent at most this often.
pub const MESSAGE_AFTER: Duration = Duration::from_secs(60);
/// Rounds without an object before its check is retired.
pub const GONE_EVALS: u32 = 3;
/// Time without an object before its check is retired.
pub const GONE_AFTER: Duration = Duration::from_secs(60);
/// Instances on one board, over all checks. Count. More are refused, and the board says how many.
pub const INSTANCES_MAX: usize = 8192;

const _: () = assert!(REFRESH_AFTER.as_secs() * 3 <= VALID_FOR_S as u64);
const _: () = assert!(INSTANCES_MAX * 2 <= muster_proto::limits::STATE_RECORDS_MAX);

/// What every check says now.
pub struct Board {
    checks: &'static [&'static dyn Check],
    settings: Settings,
    entries: Entries,
    baselines: Baselines,
    refused: u64,
    round: u64,
}

/// By check id, then by instance.
#[derive(Default)]
struct Entries(BTreeMap<&'static str, BTreeMap<String, Entry>>);

/// One instance of one check.
struct Entry {
    debounce: Debounce,
    raw: Verdict,
    message: String,
    evidence: String,
    at: Utc,
    sent: Option<Sent>,
    away: Option<(Mono, u32)>,
    /// The round it was last found in.
    round: u64,
}

/// What was last sent of an entry.
struct Sent {
    at: Mono,
    verdict: Verdict,
    message: String,
}

/// What a board keeps over a restart of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// Every shown state.
    pub states: Vec<KeptState>,
    /// What counts as normal on this host.
    pub baselines: Baselines,
}

/// One shown state that survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptState {
    /// Check id.
    pub id: String,
    /// Object.
    pub instance: String,
    /// Verdict and since when.
    pub shown: Shown,
    /// The last message.
    pub message: String,
    /// The last evidence.
    pub evidence: String,
    /// When it was last evaluated.
    pub at: Utc,
}

impl Board {
    /// A board that knows nothing yet.
    pub fn new(settings: Settings) -> Board {
        Board::with_checks(super::CHECKS, settings)
    }

    /// A board that goes on where an earlier process stopped. States of checks that are no more are dropped.
    pub fn restore(settings: Settings, kept: Kept) -> Board {
        let mut board = Board::new(settings);
        for state in kept.states.into_iter().take(INSTANCES_MAX) {
            if let Some(check) = super::find(&state.id) {
                let entry = Entry {
                    raw: state.shown.verdict,
                    debounce: Debounce::restore(state.shown),
                    message: state.message,
                    evidence: state.evidence,
                    at: state.at,
                    sent: None,
                    away: None,
                    round: 0,
                };
                board.entries.0.entry(check.id()).or_default().insert(state.instance, entry);
            }
        }
        board.baselines = kept.baselines;
        board
    }

    fn with_checks(checks: &'static [&'static dyn Check], settings: Settings) -> Board {
        let (entries, baselines) = (Entries::default(), Baselines::default());
        Board { checks, settings, entries, baselines, refused: 0, round: 0 }
    }

    /// Asks every check and returns what is news.
    pub fn round(&mut self, now: Clock, case: &Case) -> Vec<StateRecord> {
        let mut news = Vec::new();
        self.round += 1;
        for check in self.checks {
            let about = check.about();
            let mut out = Findings::new(about, &self.settings, &self.entries, &mut self.baselines);
            check.judge(case, &mut out);
            let found = out.into_found();
            self.on_findings(now, about, found, &mut news);
        }
        news
    }

    /// Everything that is shown now, behind the mark that says so.
    pub fn full_report(&mut self, now: Clock) -> Vec<StateRecord> {
        let mut records = vec![StateRecord::FullReport { at: now.utc }];
        for check in self.checks {
            for (instance, entry) in self.entries.0.get_mut(check.id()).into_iter().flatten() {
                entry.sent = Some(entry.as_sent(now.mono));
                records.push(StateRecord::Check(entry.state(
                    check.about(),
                    instance,
                    &self.settings,
                )));
            }
        }
        records
    }

    /// Everything that is shown now.
    pub fn states(&self) -> Vec<CheckState> {
        let mut states = Vec::new();
        for check in self.checks {
            for (instance, entry) in self.entries.0.get(check.id()).into_iter().flatten() {
                states.push(entry.state(check.about(), instance, &self.settings));
            }
        }
        states
    }

    /// What to store so that a restart does not forget.
    pub fn kept(&self) -> Kept {
        let mut states = Vec::new();
        for (id, instances) in &self.entries.0 {
            for (instance, entry) in instances {
                states.push(KeptState {
                    id: (*id).to_owned(),
                    instance: instance.clone(),
                    shown: entry.debounce.kept(),
                    message: entry.message.clone(),
                    evidence: entry.evidence.clone(),
                    at: entry.at,
                });
            }
        }
        Kept { states, baselines: self.baselines.clone() }
    }

    /// Findings refused at [`INSTANCES_MAX`] since the start.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn on_findings(
        &mut self,
        now: Clock,
        about: &'static About,
        found: Vec<Finding>,
        news: &mut Vec<StateRecord>,
    ) {
        let total = self.entries.total();
        let instances = self.entries.0.entry(about.id).or_default();
        let mut new = 0;
        for finding in found {
            if !instances.contains_key(&finding.instance) {
                if total + new >= INSTANCES_MAX {
                    self.refused += 1;
                    continue;
                }
                new += 1;
            }
            let entry =
                instances.entry(finding.instance.clone()).or_insert_with(|| Entry::new(now));
            entry.on_finding(now, &finding, about);
            entry.round = self.round;
            if entry.is_news(now.mono) {
                entry.sent = Some(entry.as_sent(now.mono));
                news.push(StateRecord::Check(entry.state(
                    about,
                    &finding.instance,
                    &self.settings,
                )));
            }
        }
        instances.retain(|instance, entry| {
            let stays = entry.round == self.round || !entry.on_away(now.mono);
            if !stays {
                let (id, instance) = (about.id.to_owned(), instance.clone());
                news.push(StateRecord::CheckGone { id, instance, at: now.utc });
            }
            stays
        });
    }
}

impl Entries {
    fn total(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }
}

impl Earlier for Entries {
    fn shown(&self, id: &str, instance: &str) -> Option<Verdict> {
        self.0.get(id)?.get(instance).map(|entry| entry.debounce.shown())
    }

    fn instances(&self, id: &str) -> Vec<String> {
        self.0.get(id).into_iter().flatten().map(|(instance, _)| instance.clone()).collect()
    }
}

impl Entry {
    fn new(now: Clock) -> Entry {
        Entry {
            debounce: Debounce::new(now.into()),
            raw: Verdict::Ok,
            message: String::new(),
            evidence: String::new(),
            at: now.utc,
            sent: None,
            away: None,
            round: 0,
        }
    }

    fn on_finding(&mut self, now: Clock, finding: &Finding, about: &About) {
        let was = self.debounce.shown();
        self.debounce.on_answer(now.into(), finding.verdict, &about.pace);
        let shown = self.debounce.shown();
        let has_worsened = shown.badness() > was.badness();
        if finding.verdict == Verdict::Ok && shown == Verdict::Ok {
            self.evidence.clear();
        } else if self.evidence.is_empty() || has_worsened && was != Verdict::Ok {
            self.evidence.clone_from(&finding.evidence);
        }
        self.raw = finding.verdict;
        self.message.clone_from(&finding.message);
        self.at = now.utc;
        self.away = None;
    }

    /// The object did not show up. Returns whether it is gone for good.
    fn on_away(&mut self, now: Mono) -> bool {
        let (first, count) = self.away.map_or((now, 1), |(first, count)| (first, count + 1));
        self.away = Some((first, count));
        count >= GONE_EVALS && now.since(first) >= GONE_AFTER
    }

    fn is_news(&self, now: Mono) -> bool {
        let Some(sent) = &self.sent else { return true };
        let age = now.since(sent.at);
        let shown = self.debounce.shown();
        let message = self.line();
        sent.verdict != shown
            || age >= REFRESH_AFTER
            || age >= MESSAGE_AFTER
                && (shape(&sent.message) != shape(&message)
                    || shown != Verdict::Ok && sent.message != message)
    }

    fn as_sent(&self, now: Mono) -> Sent {
        Sent { at: now, verdict: self.debounce.shown(), message: self.line() }
    }

    /// The message; when the last answer is not what is shown it says so.
    fn line(&self) -> String {
        let shown = self.debounce.shown();
        if self.raw == shown {
            return self.message.clone();
        }
        format!("{} [{} now, not yet for long enough]", self.message, self.raw)
    }

    fn state(&self, about: &About, instance: &str, settings: &Settings) -> CheckState {
        CheckState {
            id: about.id.to_owned(),
            instance: instance.to_owned(),
            verdict: self.debounce.shown(),
            since: self.debounce.since(),
            at: self.at,
            valid_for_s: VALID_FOR_S,
            urgency: settings.urgency(about, instance),
            message: self.line(),
            runbook: settings.runbook(about, instance),
            owner: settings.owner(about.id, instance),
            evidence: self.evidence.clone(),
        }
    }
}

/// A message without its numbers: a line whose numbers alone moved is no news while all is well.
fn shape(message: &str) -> String {
    message.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect()
}

#[cfg(test)]
mod tests;
