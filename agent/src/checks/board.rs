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

use muster_proto::clock::{Mono, Utc};
use muster_proto::state::{CheckState, StateRecord};
use muster_proto::verdict::Verdict;
use serde::{Deserialize, Serialize};

use super::debounce::{Debounce, Shown};
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
            debounce: Debounce::new(now),
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
        self.debounce.on_answer(now, finding.verdict, &about.pace);
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
mod tests {
    use expect_test::{Expect, expect};
    use muster_proto::verdict::Urgency;

    use super::*;
    use crate::checks::door::{START_S, at};
    use crate::checks::settings::Override;
    use crate::facts::mounts::Mount;
    use crate::facts::statfs::{Room, Usage};
    use crate::facts::units::{Unit, Units};

    /// One filesystem with that much free, in percent; `None`: it is not mounted.
    fn case(second: u64, free: Option<u64>) -> Case {
        let mut case = Case::unread(at(second));
        let usage = |free: u64| {
            Usage::Known(Room {
                size_bytes: 1000,
                free_bytes: free * 10,
                avail_bytes: free * 10,
                files: 0,
                files_free: 0,
            })
        };
        let mount = |free| Mount {
            mountpoint: "/srv".into(),
            fstype: "ext4".into(),
            usage: usage(free),
            ..Mount::default()
        };
        case.facts.mounts = Ok(free.map(mount).into_iter().collect());
        case
    }

    const ONLY_SPACE: &[&dyn Check] = &[&crate::checks::fs_space::FsSpace];

    /// One record a line, with the second it came at.
    fn lines(second: u64, records: &[StateRecord]) -> String {
        let line = |record: &StateRecord| match record {
            StateRecord::Check(s) => {
                let since = s.since.as_secs() - START_S;
                format!("@{second} {} {} since {since}: {}\n", s.instance, s.verdict, s.message)
            }
            StateRecord::CheckGone { instance, .. } => format!("@{second} {instance} gone\n"),
            StateRecord::FullReport { .. } => format!("@{second} full report\n"),
            other => panic!("not a record of the board: {other:?}"),
        };
        records.iter().map(line).collect()
    }

    /// `story`: free percent every 30 s, `-` for not mounted, `?` for unreadable.
    #[track_caller]
    fn check(story: &str, expected: Expect) {
        let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
        let mut told = String::new();
        for (index, word) in story.split_whitespace().enumerate() {
            let second = index as u64 * 30;
            let mut case = case(second, word.parse().ok());
            if word == "?" {
                case.facts.mounts = Err(crate::host::HostError::malformed("mountinfo", "rubbish"));
            }
            told.push_str(&lines(second, &board.round(at(second), &case)));
        }
        expected.assert_eq(&told);
    }

    #[test]
    fn a_full_filesystem_stays_critical() {
        let story = format!("50 50 {} {}", "0 ".repeat(24), "5 ".repeat(24));
        check(
            &story,
            expect![[r#"
                @0 /srv ok since 0: 50.0% free (500 B of 1000 B)
                @60 /srv ok since 0: 0.0% free (0 B of 1000 B) [crit now, not yet for long enough]
                @360 /srv crit since 360: 0.0% free (0 B of 1000 B)
                @660 /srv crit since 360: 0.0% free (0 B of 1000 B)
                @780 /srv crit since 360: 5.0% free (50 B of 1000 B)
                @1080 /srv crit since 360: 5.0% free (50 B of 1000 B)
                @1380 /srv crit since 360: 5.0% free (50 B of 1000 B)
            "#]],
        );
    }

    #[test]
    fn a_dip_is_no_news_but_a_line() {
        check(
            "50 50 3 3 50 50 50 50 50 50 50 50 50",
            expect![[r#"
                @0 /srv ok since 0: 50.0% free (500 B of 1000 B)
                @60 /srv ok since 0: 3.0% free (30 B of 1000 B) [crit now, not yet for long enough]
                @120 /srv ok since 0: 50.0% free (500 B of 1000 B)
            "#]],
        );
    }

    #[test]
    fn what_vanishes_is_retired_and_not_resolved() {
        let story = format!("{} - - - - - 50", "1 ".repeat(12));
        check(
            &story,
            expect![[r#"
                @0 /srv ok since 0: 1.0% free (10 B of 1000 B) [crit now, not yet for long enough]
                @300 /srv crit since 300: 1.0% free (10 B of 1000 B)
                @420 /srv gone
                @510 /srv ok since 510: 50.0% free (500 B of 1000 B)
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_read_turns_unknown_where_it_was_known() {
        check(
            "50 ? 50 50 ? ? ? ? 50 50",
            expect![[r#"
                @0 /srv ok since 0: 50.0% free (500 B of 1000 B)
                @120 /srv ok since 0: cannot tell: mountinfo says "rubbish", which is not understood [unknown now, not yet for long enough]
                @180 /srv unknown since 180: cannot tell: mountinfo says "rubbish", which is not understood
                @240 /srv ok since 0: 50.0% free (500 B of 1000 B)
            "#]],
        );
    }

    /// `story`: state of `a.service` every 60 s, `-` for a unit that is no more, `?` for no bus at all.
    #[track_caller]
    fn check_unit(story: &str, expected: Expect) {
        const ONLY_UNITS: &[&dyn Check] = &[&crate::checks::unit_failed::UnitFailed];
        let mut board = Board::with_checks(ONLY_UNITS, Settings::default());
        let mut told = String::new();
        for (index, word) in story.split_whitespace().enumerate() {
            let second = index as u64 * 60;
            let mut case = Case::unread(at(second));
            let unit = |state: &str| Unit {
                name: "a.service".into(),
                active_state: state.into(),
                ..Unit::default()
            };
            case.facts.units = match word {
                "?" => Err(crate::host::HostError::Missing {
                    path: "run/dbus/system_bus_socket".into(),
                }),
                "-" => Ok(Units::default()),
                state => Ok(Units { units: vec![unit(state)], ..Units::default() }),
            };
            let records = board.round(at(second), &case);
            let of_unit = lines(second, &records);
            told.extend(
                of_unit
                    .lines()
                    .filter(|line| line.contains("a.service"))
                    .map(|line| format!("{line}\n")),
            );
        }
        expected.assert_eq(&told);
    }

    #[test]
    fn a_failed_unit_that_runs_again_clears_and_leaves() {
        check_unit(
            "active failed failed failed failed active active active active - - - -",
            expect![[r#"
                @60 a.service ok since 60: failed () [crit now, not yet for long enough]
                @240 a.service crit since 240: failed ()
                @300 a.service crit since 240: active () [ok now, not yet for long enough]
                @420 a.service ok since 420: active ()
                @600 a.service gone
            "#]],
        );
    }

    #[test]
    fn a_failed_unit_does_not_recover_because_the_bus_died() {
        check_unit(
            "failed failed failed failed ? ? ? ? failed",
            expect![[r#"
                @0 a.service ok since 0: failed () [crit now, not yet for long enough]
                @180 a.service crit since 180: failed ()
                @240 a.service crit since 180: cannot tell: run/dbus/system_bus_socket is not there [unknown now, not yet for long enough]
                @360 a.service unknown since 360: cannot tell: run/dbus/system_bus_socket is not there
                @480 a.service crit since 180: failed ()
            "#]],
        );
    }

    #[test]
    fn a_restart_keeps_since_and_evidence() {
        let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
        for second in (0..600).step_by(30) {
            board.round(at(second), &case(second, Some(1)));
        }
        let before = board.states();
        assert_eq!((before[0].verdict, before[0].since), (Verdict::Crit, at(300).utc));
        assert!(before[0].evidence.contains("/srv"), "{}", before[0].evidence);
        // As JSON: the store keeps text or CBOR, whichever it likes.
        let kept: Kept =
            serde_json::from_str(&serde_json::to_string(&board.kept()).unwrap()).unwrap();
        assert_eq!(kept, board.kept());
        let mut after = Board::restore(Settings::default(), kept);
        after.checks = ONLY_SPACE;
        assert_eq!(after.states(), before);
        after.round(at(5), &case(5, Some(1)));
        assert_eq!(
            (after.states()[0].verdict, after.states()[0].since),
            (Verdict::Crit, at(300).utc)
        );
    }

    #[test]
    fn a_restart_retires_nothing_before_it_has_looked() {
        let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
        board.round(at(0), &case(0, Some(50)));
        let mut after = Board::restore(Settings::default(), board.kept());
        after.checks = ONLY_SPACE;
        assert!(after.round(at(0), &case(0, None)).is_empty());
        assert!(after.round(at(15), &case(15, None)).is_empty());
        assert_eq!(lines(90, &after.round(at(90), &case(90, None))), "@90 /srv gone\n");
    }

    #[test]
    fn nothing_goes_stale_while_it_is_asked() {
        let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
        let mut last = 0;
        for second in (0..7200).step_by(15) {
            for record in board.round(at(second), &case(second, Some(50))) {
                assert!(matches!(record, StateRecord::Check(_)));
                assert!(second - last <= u64::from(VALID_FOR_S) / 2);
                last = second;
            }
        }
        assert!(last > 6000, "the last one came at {last}");
    }

    #[test]
    fn settings_reach_the_records_and_silence_instances() {
        let mut settings = Settings::default();
        settings.add(
            "fs.space",
            Override {
                instance: "/s*".into(),
                warn: Some(60.0),
                urgency: Some(Urgency::Info),
                owner: Some("storage".into()),
                runbook: Some("https://wiki/space".into()),
                ..Override::default()
            },
        );
        let mut board = Board::with_checks(ONLY_SPACE, settings.clone());
        for second in (0..600).step_by(30) {
            board.round(at(second), &case(second, Some(50)));
        }
        let state = &board.states()[0];
        assert_eq!(
            (state.verdict, state.urgency, state.owner.as_str()),
            (Verdict::Warn, Urgency::Info, "storage")
        );
        assert_eq!(state.runbook, "https://wiki/space");
        settings.add("fs.space", Override { enabled: Some(false), ..Override::default() });
        let mut silent = Board::with_checks(ONLY_SPACE, settings);
        assert!(silent.round(at(0), &case(0, Some(1))).is_empty());
    }

    #[test]
    fn a_full_report_begins_with_its_mark() {
        let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
        board.round(at(0), &case(0, Some(50)));
        let report = board.full_report(at(1));
        assert_eq!(
            lines(1, &report),
            "@1 full report\n@1 /srv ok since 0: 50.0% free (500 B of 1000 B)\n"
        );
    }

    /// Random worlds: whatever is read, a round neither panics nor floods, and `since` never lies ahead.
    #[test]
    fn random_worlds_do_not_upset_the_board() {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut board = Board::new(Settings::default());
            let mut second = 0;
            let mut sent = 0;
            for _ in 0..300 {
                second += rng.u64(1..60);
                let free = rng.u64(0..120);
                let case = case(second, (free <= 100).then_some(free));
                sent += board.round(at(second), &case).len();
                assert!(
                    board.states().iter().all(|state| state.since <= at(second).utc),
                    "seed {seed}"
                );
            }
            assert!(sent < 300, "seed {seed}: {sent} records in 300 rounds of one filesystem");
        }
    }
}
