//! Asking the other aggregators, and making one answer of many parts.
//!
//! Merging is pure: the newest knowledge of a host wins, equal log lines are one line, the newest value of
//! a series wins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::PEER_WAIT;
use super::ask::LogAsk;
use super::problem::Problem;
use super::rows::{CheckRow, FleetPart, HostRow, Known, LogRow, LogsPart, SeriesRow};
use super::trouble::{CommonRow, IncidentRow};

/// What a peer says, later.
pub type Reply = Pin<Box<dyn Future<Output = Result<Vec<u8>, PeerError>> + Send>>;

/// The other aggregators.
pub trait Peers: Send + Sync {
    /// Their names.
    fn names(&self) -> Vec<String>;

    /// Asks one of them; the answer is what its [`super::answer_peer`] returned. Whoever waits gives up after
    /// [`PEER_WAIT`] by dropping the future.
    fn ask(&self, peer: &str, question: Vec<u8>) -> Reply;
}

/// No peer answered: there is none, or the link is down.
#[derive(Debug, thiserror::Error)]
#[error("the peer does not answer")]
pub struct PeerError {
    /// Why.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// One aggregator's part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Part {
    Fleet(FleetPart),
    Logs(LogsPart),
    Series(Vec<SeriesRow>),
    Federate(FleetPart, Vec<SeriesRow>),
    Incidents(Vec<IncidentRow>),
}

/// All parts, this aggregator's first.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub parts: Vec<Part>,
    /// Peers that did not answer, sorted.
    pub unanswered: Vec<String>,
    /// Hosts by everybody's word, as this aggregator knows it.
    pub common: Vec<CommonRow>,
}

pub(super) fn encode_part(part: &Result<Part, Problem>) -> Vec<u8> {
    serde_cbor::to_vec(part).unwrap_or_default()
}

/// Asks every peer at once, each at most [`PEER_WAIT`].
pub(super) async fn gather(peers: &Arc<dyn Peers>, question: Vec<u8>) -> Gathered {
    let mut replies = JoinSet::new();
    let mut waiting: BTreeSet<String> = peers.names().into_iter().collect();
    for name in &waiting {
        let reply = peers.ask(name, question.clone());
        let name = name.clone();
        replies.spawn(async move { (name, tokio::time::timeout(PEER_WAIT, reply).await) });
    }
    let mut answered = BTreeMap::new();
    while let Some(reply) = replies.join_next().await {
        let Ok((name, Ok(Ok(bytes)))) = reply else { continue };
        match serde_cbor::from_slice::<Result<Part, Problem>>(&bytes) {
            Ok(Ok(part)) => {
                waiting.remove(&name);
                answered.insert(name, part);
            }
            Ok(Err(problem)) => tracing::warn!(peer = name, %problem, "Peer refused a question."),
            Err(error) => {
                tracing::warn!(peer = name, %error, "Peer gave an answer that cannot be read.")
            }
        }
    }
    Gathered {
        parts: answered.into_values().collect(),
        unanswered: waiting.into_iter().collect(),
        common: Vec::new(),
    }
}

/// The fleet as all aggregators together know it.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub hosts: BTreeMap<String, HostRow>,
    pub checks: Vec<CheckRow>,
    pub truncated: bool,
    /// Aggregators that answered: name, datacenter, version, hosts.
    pub aggregators: Vec<FleetPart>,
}

impl Fleet {
    /// Whether an aggregator of this name has answered.
    pub(super) fn is_aggregator(&self, name: &str) -> bool {
        self.aggregators.iter().any(|part| part.aggregator == name)
    }
}

/// Hosts by the newest sign of life; the checks of a host from whoever has the newest word of it, and from
/// older ones only what the newer cannot know.
pub(super) fn merge_fleet(mut parts: Vec<FleetPart>) -> Fleet {
    let mut fleet = Fleet::default();
    let mut ranks: HashMap<String, Vec<(Known, usize)>> = HashMap::new();
    for (place, part) in parts.iter_mut().enumerate() {
        fleet.truncated |= part.truncated;
        for row in part.hosts.drain(..) {
            match fleet.hosts.get_mut(&row.host) {
                Some(known) if known.last_seen >= row.last_seen => {
                    known.first_seen = known.first_seen.min(row.first_seen);
                }
                Some(known) => {
                    let first_seen = known.first_seen.min(row.first_seen);
                    *known = HostRow { first_seen, ..row };
                }
                None => {
                    fleet.hosts.insert(row.host.clone(), row);
                }
            }
        }
        for known in part.known.drain(..) {
            ranks.entry(known.host.clone()).or_default().push((known, place));
        }
    }
    let mut overruled: Vec<HashMap<&str, Vec<&Known>>> =
        (0..parts.len()).map(|_| HashMap::new()).collect();
    for ranked in ranks.values_mut() {
        ranked.sort_by_key(|(known, _)| Reverse((known.at, known.seq)));
    }
    for (host, ranked) in &ranks {
        for (older, (_, place)) in ranked.iter().enumerate().skip(1) {
            let newer = ranked[..older].iter().map(|(known, _)| known).collect();
            overruled[*place].insert(host.as_str(), newer);
        }
    }
    for (part, overruled) in parts.iter_mut().zip(&overruled) {
        let rows = std::mem::take(&mut part.checks).into_iter();
        fleet.checks.extend(rows.filter(|row| {
            let newer = overruled.get(row.host.as_str()).map_or(&[][..], Vec::as_slice);
            !newer.iter().any(|known| {
                known.complete
                    || known
                        .spoken
                        .iter()
                        .any(|(id, instance)| *id == row.id && *instance == row.instance)
            })
        }));
    }
    freeze(&mut fleet);
    // After the freeze: an aggregator that answers is not away, whatever is said of the host it runs on.
    for part in &mut parts {
        fleet.checks.append(&mut part.own_checks);
    }
    fleet.checks.sort_by(|a, b| (&a.host, &a.id, &a.instance).cmp(&(&b.host, &b.id, &b.instance)));
    fleet.aggregators = parts;
    fleet
}

/// Stale is what the merged host says: an aggregator that lost a host to another one takes it for lost.
pub(super) fn freeze(fleet: &mut Fleet) {
    for check in &mut fleet.checks {
        if let Some(host) = fleet.hosts.get(&check.host) {
            check.stale |= matches!(host.state.as_str(), "lost" | "departed");
        }
    }
}

/// One list in the order asked for, each line once, at most the limit.
pub(super) fn merge_logs(parts: Vec<LogsPart>, ask: &LogAsk) -> LogsPart {
    let mut merged = LogsPart::default();
    for part in parts {
        merged.lines.extend(part.lines);
        merged.scanned_bytes += part.scanned_bytes;
        merged.limited |= part.limited;
        merged.truncated = merged.truncated.or(part.truncated);
    }
    merged.lines.sort_by(|a, b| key(a).cmp(&key(b)));
    merged.lines.dedup_by(|a, b| {
        (&a.host, a.stream, a.seq, a.index) == (&b.host, b.stream, b.seq, b.index)
    });
    if !ask.oldest_first {
        merged.lines.reverse();
    }
    merged.limited |= merged.lines.len() > ask.limit;
    merged.lines.truncate(ask.limit);
    merged
}

fn key(row: &LogRow) -> impl Ord + '_ {
    (row.at, row.host.as_str(), row.stream, row.seq, row.index)
}

/// Each series once: the newest value, or the points of all.
pub(super) fn merge_series(parts: Vec<Vec<SeriesRow>>) -> Vec<SeriesRow> {
    type SeriesKey = (String, String, BTreeMap<String, String>);
    let mut merged: BTreeMap<SeriesKey, SeriesRow> = BTreeMap::new();
    for row in parts.into_iter().flatten() {
        let key = (row.name.clone(), row.host.clone(), row.labels.clone());
        let Some(known) = merged.get_mut(&key) else {
            merged.insert(key, row);
            continue;
        };
        if row.time > known.time {
            (known.time, known.value, known.kind) = (row.time, row.value, row.kind);
        }
        if !row.points.is_empty() {
            // A stable sort: at one moment the first aggregator's point stays.
            known.points.extend(row.points);
            known.points.sort_by_key(|(at, _)| *at);
            known.points.dedup_by_key(|(at, _)| *at);
        }
    }
    merged.into_values().collect()
}
