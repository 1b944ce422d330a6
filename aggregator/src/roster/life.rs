//! One stream of one host: within it the newest position wins, so the order of arrival does not matter.

use std::collections::BTreeMap;

use muster_proto::clock::Utc;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::state::{CheckState, Gap, Heartbeat, HostFacts, StateRecord};

use super::host::{CheckKey, Touch};
use super::record::LifeRecord;
use super::{CHECK_TEXT_BYTES_MAX, CHECKS_PER_HOST_MAX};

/// Gap records of one stream that are remembered, so that a repeat is not counted twice.
const GAPS_MAX: usize = 256;

/// Place of a record: batch, then index in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pos {
    pub seq: Seq,
    pub index: u32,
}

/// A value and the place that said it.
pub(super) type Said<T> = (Pos, T);

#[derive(Debug, Clone)]
pub(super) struct Life {
    pub stream: StreamId,
    pub newest: Seq,
    /// Newest record time of the host's clock, never after our own clock at the time.
    pub newest_at: Utc,
    /// The last full report: checks said before it are gone.
    pub full: Option<Said<Utc>>,
    pub facts: Option<Said<HostFacts>>,
    pub heartbeat: Option<Said<Heartbeat>>,
    pub bye: Option<Said<(Utc, String)>>,
    /// `None` is a check that is gone, kept so that an older batch does not bring it back.
    checks: BTreeMap<CheckKey, Said<Option<CheckState>>>,
    text_bytes: usize,
    gaps: BTreeMap<Pos, u64>,
    gaps_forgotten: u64,
}

impl Life {
    pub(super) fn new(stream: StreamId) -> Life {
        Life {
            stream,
            newest: Seq::NONE,
            newest_at: Utc(0),
            full: None,
            facts: None,
            heartbeat: None,
            bye: None,
            checks: BTreeMap::new(),
            text_bytes: 0,
            gaps: BTreeMap::new(),
            gaps_forgotten: 0,
        }
    }

    pub(super) fn from_record(record: LifeRecord) -> Life {
        let mut life = Life::new(record.stream);
        life.newest = record.newest;
        life.newest_at = record.newest_at;
        life.full = record.full.map(|(seq, index, at)| (Pos { seq, index }, at));
        life.facts = record.facts.map(|(seq, index, facts)| (Pos { seq, index }, facts));
        life.heartbeat = record.heartbeat.map(|(seq, index, beat)| (Pos { seq, index }, beat));
        life.bye = record.bye.map(|(seq, index, at, why)| (Pos { seq, index }, (at, why)));
        life.gaps_forgotten = record.lost_records;
        let gone = record.gone.into_iter().take(CHECKS_PER_HOST_MAX);
        life.checks = gone
            .map(|(id, instance, seq, index)| {
                (CheckKey { id, instance }, (Pos { seq, index }, None))
            })
            .collect();
        life
    }

    pub(super) fn to_record(&self) -> LifeRecord {
        LifeRecord {
            stream: self.stream,
            newest: self.newest,
            newest_at: self.newest_at,
            full: self.full.map(|(pos, at)| (pos.seq, pos.index, at)),
            facts: self.facts.clone().map(|(pos, facts)| (pos.seq, pos.index, facts)),
            heartbeat: self.heartbeat.clone().map(|(pos, beat)| (pos.seq, pos.index, beat)),
            bye: self.bye.clone().map(|(pos, (at, why))| (pos.seq, pos.index, at, why)),
            lost_records: self.lost_records(),
            gone: self
                .gone()
                .map(|(key, pos)| (key.id.clone(), key.instance.clone(), pos.seq, pos.index))
                .collect(),
        }
    }

    /// Takes one record of a batch.
    pub(super) fn on_record(
        &mut self,
        pos: Pos,
        now: Utc,
        record: &StateRecord,
        touch: &mut Touch<'_>,
    ) {
        let at = match record {
            StateRecord::Facts(facts) => {
                newer(&mut self.facts, pos, || facts.clone());
                return;
            }
            StateRecord::Heartbeat(beat) => {
                newer(&mut self.heartbeat, pos, || beat.clone());
                beat.at
            }
            StateRecord::Check(state) => {
                let key = CheckKey { id: state.id.clone(), instance: state.instance.clone() };
                self.say(key, (pos, Some(state.clone())), touch);
                state.at
            }
            StateRecord::CheckGone { id, instance, at } => {
                let key = CheckKey { id: id.clone(), instance: instance.clone() };
                self.say(key, (pos, None), touch);
                *at
            }
            StateRecord::FullReport { at } => {
                if newer(&mut self.full, pos, || *at) {
                    self.sweep(touch);
                }
                *at
            }
            StateRecord::Gap(gap) => {
                self.on_gap(pos, gap);
                gap.at
            }
            StateRecord::Bye { at, reason } => {
                newer(&mut self.bye, pos, || (*at, reason.clone()));
                *at
            }
        };
        // A host with a clock in the future must not outrank its later streams for years.
        self.newest_at = self.newest_at.max(at.min(now));
    }

    /// Takes what is said of one check.
    pub(super) fn say(
        &mut self,
        key: CheckKey,
        said: Said<Option<CheckState>>,
        touch: &mut Touch<'_>,
    ) {
        if self.full.is_some_and(|(full, _)| said.0 < full) {
            return;
        }
        let old = self.checks.get(&key);
        if old.is_some_and(|(pos, _)| *pos >= said.0) {
            return;
        }
        if old.is_none() && self.checks.len() >= CHECKS_PER_HOST_MAX {
            touch.excess.checks += 1;
            return;
        }
        let before = old.map_or(0, |(_, state)| weight(state.as_ref()));
        let Some(said) = self.fit(said, before, touch) else { return };
        self.text_bytes = self.text_bytes - before + weight(said.1.as_ref());
        self.checks.insert(key.clone(), said);
        touch.checks.push((self.stream, key));
    }

    /// The check when it fits the room for text, without its evidence if need be.
    fn fit(
        &self,
        said: Said<Option<CheckState>>,
        before: usize,
        touch: &mut Touch<'_>,
    ) -> Option<Said<Option<CheckState>>> {
        let room = CHECK_TEXT_BYTES_MAX.saturating_sub(self.text_bytes - before);
        let (pos, mut state) = said;
        if weight(state.as_ref()) > room
            && let Some(state) = &mut state
        {
            state.evidence.clear();
            touch.excess.evidence += 1;
        }
        if weight(state.as_ref()) > room {
            touch.excess.checks += 1;
            return None;
        }
        Some((pos, state))
    }

    /// Drops what was said before the full report.
    fn sweep(&mut self, touch: &mut Touch<'_>) {
        let Some((full, _)) = self.full else { return };
        let (stream, text_bytes) = (self.stream, &mut self.text_bytes);
        self.checks.retain(|key, (pos, state)| {
            let keep = *pos > full;
            if !keep {
                *text_bytes -= weight(state.as_ref());
                touch.checks.push((stream, key.clone()));
            }
            keep
        });
    }

    fn on_gap(&mut self, pos: Pos, gap: &Gap) {
        let forgotten = self.gaps.len() >= GAPS_MAX
            && self.gaps.keys().next().is_some_and(|first| pos < *first);
        if forgotten {
            return;
        }
        self.gaps.insert(pos, gap.records);
        if self.gaps.len() > GAPS_MAX
            && let Some((_, records)) = self.gaps.pop_first()
        {
            self.gaps_forgotten = self.gaps_forgotten.saturating_add(records);
        }
    }

    /// What the stream says of a check: `None` when it does not speak of it, `Some(None)` when it is gone.
    pub(super) fn check(&self, key: &CheckKey) -> Option<&Said<Option<CheckState>>> {
        self.checks.get(key)
    }

    /// Everything the stream says, with the checks that are gone.
    pub(super) fn checks(&self) -> impl Iterator<Item = (&CheckKey, &Said<Option<CheckState>>)> {
        self.checks.iter()
    }

    /// The checks that are gone since the last full report.
    pub(super) fn gone(&self) -> impl Iterator<Item = (&CheckKey, Pos)> {
        self.checks
            .iter()
            .filter(|(_, (_, state))| state.is_none())
            .map(|(key, (pos, _))| (key, *pos))
    }

    /// True when it alone tells all checks of the host.
    pub(super) fn is_complete(&self) -> bool {
        self.full.is_some()
    }

    /// Records that were dropped at a limit and will never come.
    pub(super) fn lost_records(&self) -> u64 {
        self.gaps.values().fold(self.gaps_forgotten, |sum, records| sum.saturating_add(*records))
    }
}

/// Replaces the value when the position is newer.
fn newer<T>(slot: &mut Option<Said<T>>, pos: Pos, value: impl FnOnce() -> T) -> bool {
    let newer = slot.as_ref().is_none_or(|(known, _)| *known < pos);
    if newer {
        *slot = Some((pos, value()));
    }
    newer
}

/// Bytes of text that a check keeps.
fn weight(state: Option<&CheckState>) -> usize {
    state.map_or(0, |state| {
        let texts = [
            &state.id,
            &state.instance,
            &state.message,
            &state.runbook,
            &state.owner,
            &state.evidence,
        ];
        texts.iter().map(|text| text.len()).sum()
    })
}
