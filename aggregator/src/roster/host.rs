//! One host: its streams, its liveness, its checks.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::digest::{Lease, Rank, Standing};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::state::{CheckState, Heartbeat, HostFacts, StateBatch};
use muster_proto::verdict::Verdict;

use super::life::{Life, Pos};
use super::record::{Changes, CheckRecord, CheckRef, HostRecord};
use super::{
    Arrival, Excess, HEARTBEAT_S_DEFAULT, HEARTBEAT_S_MAX, LATE_BEATS, LIVES_PER_HOST_MAX,
    LOST_BEATS, Landing, RETURN_S_MAX,
};

/// Which check of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckKey {
    /// Stable id, e.g. `fs.space`.
    pub id: String,
    /// Which object; empty when there is only one.
    pub instance: String,
}

/// Whether a host lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// Heard of in time.
    Live,
    /// More than [`LATE_BEATS`] beats silent.
    Late,
    /// More than [`LOST_BEATS`] beats silent.
    Lost,
    /// Left on purpose.
    Departed {
        /// Why: "stop", "reboot", "upgrade", "restart".
        reason: String,
    },
}

impl Liveness {
    /// The word used in tables, JSON and selectors.
    pub fn name(&self) -> &'static str {
        match self {
            Liveness::Live => "live",
            Liveness::Late => "late",
            Liveness::Lost => "lost",
            Liveness::Departed { .. } => "departed",
        }
    }

    /// How a host is that was silent for so long and said goodbye with `bye`, if it did.
    pub(super) fn judge(silent: Duration, beat_s: u32, bye: Option<&str>) -> Liveness {
        if let Some(reason) = bye {
            let returns = matches!(reason, "reboot" | "upgrade" | "restart");
            if returns && silent.as_secs() > RETURN_S_MAX {
                return Liveness::Lost;
            }
            return Liveness::Departed { reason: reason.to_owned() };
        }
        let beat = Duration::from_secs(u64::from(beat_s));
        if silent > beat * LOST_BEATS {
            Liveness::Lost
        } else if silent > beat * LATE_BEATS {
            Liveness::Late
        } else {
            Liveness::Live
        }
    }

    /// Whether check states are frozen.
    pub fn is_away(&self) -> bool {
        matches!(self, Liveness::Lost | Liveness::Departed { .. })
    }
}

/// How many checks say what. Stale ones are counted under their frozen verdict, and once more as stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)] // the words of the verdicts
pub struct Counts {
    pub ok: u32,
    pub warn: u32,
    pub crit: u32,
    pub unknown: u32,
    pub stale: u32,
}

/// What a batch leaves behind besides the host itself.
pub(super) struct Touch<'a> {
    /// Checks that were said, changed, or are gone, with their stream.
    pub checks: &'a mut Vec<(StreamId, CheckKey)>,
    pub excess: &'a mut Excess,
}

/// One host.
#[derive(Debug)]
pub struct Host {
    datacenter: String,
    aggregator: String,
    connected: bool,
    /// Its last connection, and when that began or ended.
    rank: Rank,
    since: Utc,
    first_seen: Utc,
    last_seen: Utc,
    liveness: Liveness,
    /// It was lost before we restarted and gave no sign of life since.
    still_lost: bool,
    /// The newest first.
    lives: Vec<Life>,
}

impl Host {
    pub(super) fn new(now: Utc) -> Host {
        Host {
            datacenter: String::new(),
            aggregator: String::new(),
            connected: false,
            rank: Rank::default(),
            since: now,
            first_seen: now,
            last_seen: now,
            liveness: Liveness::Live,
            still_lost: false,
            lives: Vec::new(),
        }
    }

    pub(super) fn from_record(record: HostRecord) -> Host {
        let mut host = Host::new(record.first_seen);
        host.last_seen = record.last_seen;
        host.still_lost = record.state == Liveness::Lost.name();
        host.datacenter = record.datacenter;
        host.aggregator = record.aggregator;
        host.lives =
            record.lives.into_iter().take(LIVES_PER_HOST_MAX).map(Life::from_record).collect();
        host.sort();
        host
    }

    pub(super) fn to_record(&self, name: &str) -> HostRecord {
        HostRecord {
            host: name.to_owned(),
            datacenter: self.datacenter.clone(),
            aggregator: self.aggregator.clone(),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            state: self.liveness.name().to_owned(),
            lives: self.lives.iter().map(Life::to_record).collect(),
        }
    }

    pub(super) fn restore_check(&mut self, record: CheckRecord, excess: &mut Excess) {
        let Some(life) = self.lives.iter_mut().find(|life| life.stream == record.stream) else {
            return;
        };
        let key = CheckKey { id: record.state.id.clone(), instance: record.state.instance.clone() };
        let pos = Pos { seq: record.seq, index: record.index };
        let mut unsaved = Vec::new();
        life.say(key, (pos, Some(record.state)), &mut Touch { checks: &mut unsaved, excess });
    }

    pub(super) fn on_batch(
        &mut self,
        arrival: &Arrival<'_>,
        now: Utc,
        batch: &StateBatch,
        touch: &mut Touch<'_>,
    ) {
        let life = self.life(arrival.stream);
        let fresh = arrival.seq > life.newest;
        life.newest = life.newest.max(arrival.seq);
        for (index, record) in (0..).zip(&batch.records) {
            life.on_record(Pos { seq: arrival.seq, index }, now, record, touch);
        }
        if fresh {
            self.still_lost = false;
            self.last_seen = self.last_seen.max(now);
            arrival.aggregator.clone_into(&mut self.aggregator);
            arrival.datacenter.clone_into(&mut self.datacenter);
        }
        self.sort();
        self.bury(touch);
    }

    pub(super) fn on_connected(&mut self, landing: Landing<'_>, now: Utc) {
        self.connected = true;
        self.still_lost = false;
        self.rank = landing.rank;
        self.since = now;
        landing.aggregator.clone_into(&mut self.aggregator);
        if !landing.datacenter.is_empty() {
            landing.datacenter.clone_into(&mut self.datacenter);
        }
        self.last_seen = self.last_seen.max(now);
    }

    pub(super) fn on_disconnected(&mut self, aggregator: &str, now: Utc) {
        if self.aggregator == aggregator {
            self.connected = false;
            self.since = now;
        }
    }

    /// Decides the liveness again; true when it changed.
    pub(super) fn judge(&mut self, now: Utc, started_at: Utc) -> bool {
        let liveness = self.decide(now, started_at);
        let moved = liveness != self.liveness;
        self.liveness = liveness;
        moved
    }

    /// What other aggregators hear of it.
    pub(super) fn lease(&self, name: &str) -> Lease {
        Lease {
            host: name.to_owned(),
            datacenter: self.datacenter.clone(),
            rank: self.rank,
            connected: self.connected,
            since: self.since,
            heard: self.last_seen,
            beat_s: self.interval_s(),
            standing: match &self.liveness {
                Liveness::Live => Standing::Live,
                Liveness::Late => Standing::Late,
                Liveness::Lost => Standing::Lost,
                Liveness::Departed { reason } => Standing::Departed { reason: reason.clone() },
            },
            left: self.bye().unwrap_or_default().to_owned(),
        }
    }

    /// True until its datacenter is known.
    pub(super) fn is_new(&self) -> bool {
        self.datacenter.is_empty()
    }

    fn decide(&self, now: Utc, started_at: Utc) -> Liveness {
        if self.still_lost {
            return Liveness::Lost;
        }
        let silent = now.since(self.last_seen.max(started_at));
        Liveness::judge(silent, self.interval_s(), self.bye())
    }

    /// Why the host left, unless it was heard of since.
    fn bye(&self) -> Option<&str> {
        let life = self.lives.first()?;
        let (pos, (_, reason)) = life.bye.as_ref()?;
        (life.newest <= pos.seq).then_some(reason.as_str())
    }

    /// The life of a stream, made when there is room or an older one can go.
    fn life(&mut self, stream: StreamId) -> &mut Life {
        let place = self.lives.iter().position(|life| life.stream == stream).unwrap_or_else(|| {
            self.lives.push(Life::new(stream));
            self.lives.len() - 1
        });
        &mut self.lives[place]
    }

    /// The newest first. Ties, of streams without a time, fall by id: any order will do, if it is always the same.
    fn sort(&mut self) {
        self.lives.sort_by_key(|life| Reverse((life.newest_at, life.stream)));
    }

    /// Forgets the oldest streams over the limit.
    fn bury(&mut self, touch: &mut Touch<'_>) {
        while self.lives.len() > LIVES_PER_HOST_MAX
            && let Some(life) = self.lives.pop()
        {
            touch.excess.lives += 1;
            touch.checks.extend(life.checks().map(|(key, _)| (life.stream, key.clone())));
        }
    }

    /// Adds to the changes what became of a check of a stream.
    pub(super) fn check_change(
        &self,
        name: &str,
        (stream, key): (StreamId, CheckKey),
        changes: &mut Changes,
    ) {
        let life = self.lives.iter().find(|life| life.stream == stream);
        match life.and_then(|life| life.check(&key)) {
            Some((pos, Some(state))) => changes.checks.push(CheckRecord {
                host: name.to_owned(),
                stream,
                seq: pos.seq,
                index: pos.index,
                state: state.clone(),
            }),
            Some((_, None)) | None => changes.gone_checks.push(CheckRef {
                host: name.to_owned(),
                stream,
                id: key.id,
                instance: key.instance,
            }),
        }
    }

    /// Whether it lives.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Datacenter it stands in.
    pub fn datacenter(&self) -> &str {
        &self.datacenter
    }

    /// Aggregator that heard it last.
    pub fn aggregator(&self) -> &str {
        &self.aggregator
    }

    /// Whether a connection of it is open.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// When it was first heard of.
    pub fn first_seen(&self) -> Utc {
        self.first_seen
    }

    /// When it last gave a sign of life, by the aggregator's clock.
    pub fn last_seen(&self) -> Utc {
        self.last_seen
    }

    /// Who it is.
    pub fn facts(&self) -> Option<&HostFacts> {
        self.lives.iter().find_map(|life| life.facts.as_ref()).map(|(_, facts)| facts)
    }

    /// Its last heartbeat.
    pub fn heartbeat(&self) -> Option<&Heartbeat> {
        self.lives.iter().find_map(|life| life.heartbeat.as_ref()).map(|(_, beat)| beat)
    }

    /// Seconds between its heartbeats.
    pub fn interval_s(&self) -> u32 {
        self.heartbeat()
            .map_or(HEARTBEAT_S_DEFAULT, |beat| beat.interval_s.clamp(1, HEARTBEAT_S_MAX))
    }

    /// Records that were dropped at a limit of the host and will never come.
    pub fn lost_records(&self) -> u64 {
        self.lives.iter().fold(0, |sum, life| sum.saturating_add(life.lost_records()))
    }

    /// How new the knowledge of its checks is: stream, position, and the newest record time by the host's clock.
    pub fn as_of(&self) -> (StreamId, Seq, Utc) {
        self.lives
            .first()
            .map_or_else(Default::default, |life| (life.stream, life.newest, life.newest_at))
    }

    /// True when the newest stream alone tells every check of the host.
    pub fn is_complete(&self) -> bool {
        self.lives.first().is_some_and(Life::is_complete)
    }

    /// Its checks, sorted by id and instance.
    pub fn checks(&self) -> Vec<(&CheckKey, &CheckState)> {
        let mut seen = BTreeMap::new();
        for life in &self.lives {
            for (key, (_, state)) in life.checks() {
                seen.entry(key).or_insert(state.as_ref());
            }
            if life.is_complete() {
                break;
            }
        }
        seen.into_iter().filter_map(|(key, state)| Some((key, state?))).collect()
    }

    /// Checks that the newest streams say are gone: other aggregators may still list them.
    pub fn gone_checks(&self) -> Vec<&CheckKey> {
        self.lives.first().into_iter().flat_map(Life::gone).map(|(key, _)| key).collect()
    }

    /// True when the answer of a check no longer counts: its time is over, or the host is away.
    pub fn is_stale(&self, check: &CheckState, now: Utc) -> bool {
        let until = check.at.after(Duration::from_secs(u64::from(check.valid_for_s)));
        self.liveness.is_away() || now > until
    }

    /// How many checks say what.
    pub fn counts(&self, now: Utc) -> Counts {
        let mut counts = Counts::default();
        for (_, check) in self.checks() {
            let count = match check.verdict {
                Verdict::Ok => &mut counts.ok,
                Verdict::Warn => &mut counts.warn,
                Verdict::Crit => &mut counts.crit,
                Verdict::Unknown => &mut counts.unknown,
            };
            *count += 1;
            counts.stale += u32::from(self.is_stale(check, now));
        }
        counts
    }

    /// The worst check, frozen ones included: the first by id of the worst verdict. `None` without checks.
    pub fn worst(&self) -> Option<&CheckState> {
        let checks = self.checks().into_iter().map(|(_, check)| check);
        checks.fold(None, |worst: Option<&CheckState>, check| match worst {
            Some(worst) if worst.verdict.badness() >= check.verdict.badness() => Some(worst),
            _ => Some(check),
        })
    }
}
