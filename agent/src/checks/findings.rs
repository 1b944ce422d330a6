//! Where a check puts its answers, and what it may ask back: thresholds, earlier verdicts, baselines.

use std::borrow::Cow;
use std::collections::BTreeMap;

use muster_proto::limits::NAME_BYTES_MAX;
use muster_proto::verdict::Verdict;
use serde::{Deserialize, Serialize};

use super::definition::{About, Scale};
use super::settings::Settings;
use super::words;
use crate::facts::Fact;
use crate::host::HostError;

/// Evidence of one finding. Bytes. Enough for a top five and a few lines of a log.
pub const EVIDENCE_BYTES_MAX: usize = 4 * 1024;
/// Message of one finding. Bytes. One line for a person.
pub const MESSAGE_BYTES_MAX: usize = 512;
/// Findings of one check in one round. A host with 10 000 mounts shall not flood the fleet.
pub const FINDINGS_MAX: usize = 512;
/// Baselines learned on one host. Count.
pub const BASELINES_MAX: usize = 4096;

/// One answer, not debounced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of which check.
    pub id: &'static str,
    /// About which object; empty when there is only one.
    pub instance: String,
    /// The raw answer.
    pub verdict: Verdict,
    /// One line for a person, with the numbers.
    pub message: String,
    /// What shows why; empty while ok. At most [`EVIDENCE_BYTES_MAX`].
    pub evidence: String,
}

/// What was normal when a thing was first seen: link speed, mount options. Kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baselines(BTreeMap<String, String>);

impl Baselines {
    /// What was learned under this key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Learns a value, or learns it anew. Beyond [`BASELINES_MAX`] nothing new is learned.
    pub fn learn(&mut self, key: String, value: String) {
        if self.0.len() < BASELINES_MAX || self.0.contains_key(&key) {
            self.0.insert(key, value);
        }
    }
}

/// What is already known of a check's instances.
pub trait Earlier {
    /// The verdict shown now, `None` when the instance was not seen before.
    fn shown(&self, id: &str, instance: &str) -> Option<Verdict>;
    /// Every instance of a check that is known.
    fn instances(&self, id: &str) -> Vec<String>;
}

/// Nothing is known yet: the first look, or a single run by hand.
pub struct NoneEarlier;

impl Earlier for NoneEarlier {
    fn shown(&self, _: &str, _: &str) -> Option<Verdict> {
        None
    }

    fn instances(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// The answers of one check in one round.
pub struct Findings<'a> {
    about: &'static About,
    settings: &'a Settings,
    earlier: &'a dyn Earlier,
    baselines: &'a mut Baselines,
    found: Vec<Finding>,
    unreadable: Option<String>,
    cut: usize,
}

impl<'a> Findings<'a> {
    /// An empty list for one check.
    pub fn new(
        about: &'static About,
        settings: &'a Settings,
        earlier: &'a dyn Earlier,
        baselines: &'a mut Baselines,
    ) -> Findings<'a> {
        Findings {
            about,
            settings,
            earlier,
            baselines,
            found: Vec::new(),
            unreadable: None,
            cut: 0,
        }
    }

    /// The fact, or nothing: when it is not there the check does not exist, when it could not be read
    /// every known instance turns UNKNOWN with the reason.
    pub fn need<'f, T>(&mut self, fact: &'f Fact<T>) -> Option<&'f T> {
        match fact {
            Ok(value) => Some(value),
            Err(HostError::Missing { .. } | HostError::Unread) => None,
            Err(error) => {
                self.unreadable(&chain(error));
                None
            }
        }
    }

    /// As [`Findings::need`], for what does not go away by itself: once its instances were known, a missing
    /// fact is UNKNOWN too. systemd's bus that died has not taken the failed units with it.
    pub fn need_still<'f, T>(&mut self, fact: &'f Fact<T>) -> Option<&'f T> {
        if let Err(error @ HostError::Missing { .. }) = fact
            && !self.known().is_empty()
        {
            self.unreadable(&chain(error));
        }
        self.need(fact)
    }

    /// Says that the question cannot be answered for any instance.
    pub fn unreadable(&mut self, why: &str) {
        self.unreadable = Some(why.to_owned());
    }

    /// Adds an answer. Disabled instances are left out here, so that no check has to think of it.
    pub fn add(&mut self, instance: &str, verdict: Verdict, message: impl Into<String>) {
        self.add_with(instance, verdict, message.into(), String::new);
    }

    /// Adds an answer with evidence, which is drawn up only when the answer is bad.
    pub fn add_with(
        &mut self,
        instance: &str,
        verdict: Verdict,
        message: String,
        evidence: impl FnOnce() -> String,
    ) {
        let instance = name_of(instance);
        if !self.settings.is_enabled(self.about.id, &instance) {
            return;
        }
        if self.found.len() >= FINDINGS_MAX {
            self.cut += 1;
            return;
        }
        let evidence = if verdict == Verdict::Ok { String::new() } else { evidence() };
        self.found.push(Finding {
            id: self.about.id,
            instance: instance.into_owned(),
            verdict,
            message: cut_text(message, MESSAGE_BYTES_MAX),
            evidence: cut_text(evidence, EVIDENCE_BYTES_MAX),
        });
    }

    /// Judges a number by the thresholds in force for this instance and adds the answer.
    pub fn level(&mut self, instance: &str, value: f64, message: impl Into<String>) {
        let verdict = self.verdict_of(instance, value);
        self.add(instance, verdict, message);
    }

    /// Judges how much of a limit is used, in percent, and adds the answer.
    pub fn used(&mut self, instance: &str, used: u64, limit: u64) {
        let percent = words::percent(used, limit);
        self.level(instance, percent, format!("{percent:.1}% used ({used} of {limit})"));
    }

    /// As [`Findings::level`], with evidence.
    pub fn level_with(
        &mut self,
        instance: &str,
        value: f64,
        message: impl Into<String>,
        evidence: impl FnOnce() -> String,
    ) {
        let verdict = self.verdict_of(instance, value);
        self.add_with(instance, verdict, message.into(), evidence);
    }

    /// The verdict of a number by the thresholds in force for this instance.
    pub fn verdict_of(&self, instance: &str, value: f64) -> Verdict {
        self.scale(instance).judge(value, self.previous(instance))
    }

    /// The thresholds in force for this instance.
    pub fn scale(&self, instance: &str) -> Scale {
        self.settings.scale(self.about, instance)
    }

    /// The verdict shown now, `None` at first sight.
    pub fn previous(&self, instance: &str) -> Option<Verdict> {
        self.earlier.shown(self.about.id, &name_of(instance))
    }

    /// Every instance already known.
    pub fn known(&self) -> Vec<String> {
        self.earlier.instances(self.about.id)
    }

    /// What was normal when `what` was first seen; learns `now` as normal when it never was.
    pub fn baseline(&mut self, what: &str, now: &str) -> String {
        let key = format!("{} {what}", self.about.id);
        if self.baselines.value(&key).is_none() {
            self.baselines.learn(key.clone(), now.to_owned());
        }
        self.baselines.value(&key).unwrap_or(now).to_owned()
    }

    /// Replaces what counts as normal for `what`.
    pub fn relearn(&mut self, what: &str, now: &str) {
        self.baselines.learn(format!("{} {what}", self.about.id), now.to_owned());
    }

    /// The answers. A fact that could not be read stands for every known instance.
    pub fn into_found(self) -> Vec<Finding> {
        let Findings { about, settings, earlier, mut found, unreadable, cut, .. } = self;
        if let Some(why) = unreadable {
            let mut instances = earlier.instances(about.id);
            if instances.is_empty() {
                instances.push(String::new());
            }
            instances.retain(|instance| {
                settings.is_enabled(about.id, instance)
                    && !found.iter().any(|f| &f.instance == instance)
            });
            found.extend(instances.into_iter().take(FINDINGS_MAX).map(|instance| Finding {
                id: about.id,
                instance,
                verdict: Verdict::Unknown,
                message: cut_text(format!("cannot tell: {why}"), MESSAGE_BYTES_MAX),
                evidence: String::new(),
            }));
        }
        if cut > 0
            && let Some(last) = found.last_mut()
        {
            last.message
                .push_str(&format!(" ({cut} more objects not shown, limit {FINDINGS_MAX})"));
        }
        found
    }
}

/// The name of an instance as it is sent: a path longer than the wire takes is cut.
fn name_of(instance: &str) -> Cow<'_, str> {
    if instance.len() <= NAME_BYTES_MAX {
        return Cow::Borrowed(instance);
    }
    Cow::Owned(cut_text(instance.to_owned(), NAME_BYTES_MAX))
}

/// An error with its causes.
fn chain(error: &HostError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Cuts text at a limit in bytes, between characters, and shows that it was cut.
pub(super) fn cut_text(mut text: String, bytes_max: usize) -> String {
    const MARK: &str = " […]";
    if text.len() > bytes_max {
        let mut end = bytes_max.saturating_sub(MARK.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        let cut = cut_text("ä".repeat(5000), EVIDENCE_BYTES_MAX);
        assert!(cut.len() <= EVIDENCE_BYTES_MAX);
        assert!(cut.ends_with("[…]"));
        assert_eq!(cut_text("short".to_owned(), 10), "short");
    }

    #[test]
    fn an_instance_longer_than_the_wire_takes_is_cut_everywhere() {
        struct Known;
        impl Earlier for Known {
            fn shown(&self, _: &str, instance: &str) -> Option<Verdict> {
                (instance.len() <= NAME_BYTES_MAX).then_some(Verdict::Crit)
            }
            fn instances(&self, _: &str) -> Vec<String> {
                Vec::new()
            }
        }
        let (mut baselines, settings) = (Baselines::default(), Settings::default());
        let about = crate::checks::CHECKS[0].about();
        let mut out = Findings::new(about, &settings, &Known, &mut baselines);
        let long = "/x".repeat(2000);
        assert_eq!(out.previous(&long), Some(Verdict::Crit));
        out.add(&long, Verdict::Ok, "fine");
        assert!(out.into_found()[0].instance.len() <= NAME_BYTES_MAX);
    }

    #[test]
    fn more_findings_than_the_limit_are_counted() {
        let (mut baselines, settings) = (Baselines::default(), Settings::default());
        let about = crate::checks::CHECKS[0].about();
        let mut out = Findings::new(about, &settings, &NoneEarlier, &mut baselines);
        for instance in 0..FINDINGS_MAX + 7 {
            out.add(&instance.to_string(), Verdict::Ok, "fine");
        }
        let found = out.into_found();
        assert_eq!(found.len(), FINDINGS_MAX);
        assert_eq!(found.last().unwrap().message, "fine (7 more objects not shown, limit 512)");
    }

    #[test]
    fn a_baseline_is_what_was_seen_first() {
        let mut baselines = Baselines::default();
        let settings = Settings::default();
        let about = crate::checks::CHECKS[0].about();
        let mut out = Findings::new(about, &settings, &NoneEarlier, &mut baselines);
        assert_eq!(out.baseline("eth0", "1000"), "1000");
        assert_eq!(out.baseline("eth0", "100"), "1000");
        out.relearn("eth0", "100");
        assert_eq!(out.baseline("eth0", "10"), "100");
    }
}
