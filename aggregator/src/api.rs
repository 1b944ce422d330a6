//! Answers about the fleet: one function over path and query, for HTTP and for other aggregators.
//!
//! Room: `api`.  May use: `roster`, `incidents`, `stores`, `muster-policy`, `proto`.  Used by: the app.
//!
//! ```text
//! HTTP ──> Ask ──parse──> Question ──┬─> this aggregator's rooms ─┐
//!                                    └─> every peer, 2 s each ────┴─> merge ──> render ──> Answer
//! ```
//! | page | answer |
//! |---|---|
//! | `/api/v1/status` | counts of hosts, checks, and who answered |
//! | `/api/v1/hosts?selector=`, `/api/v1/hosts/NAME` | hosts; one host with its checks and their evidence |
//! | `/api/v1/incidents?all=` | what is wrong with the fleet; with `all` also what was, in the last seven days |
//! | `/api/v1/checks?state=&id=&host=&selector=` | checks |
//! | `/api/v1/logs?q=&regex=&any_case=&since=&until=&host=&datacenter=&class=&program=&source=&severity=&limit=&order=` | NDJSON: a line each, then `{"end":…}` |
//! | `/api/v1/metrics?q=[&since=&until=&step=]` | last values, or a range |
//! | `/metrics` | the aggregator's own, Prometheus text |
//! | `/federate?match[]=` | the fleet, Prometheus text |
//!
//! `scope=local` asks only this aggregator. Errors are problem+json ([`problem::Problem`]).
//!
//! Invariants
//! - A silent peer costs at most [`PEER_WAIT`] and is named in `unanswered`; it never fails an answer.
//! - A restricted log class is given only to readers who were granted it, by every aggregator for itself.
//! - Selectors and filters that depend on merged knowledge are applied after the merge: an aggregator
//!   with old knowledge of a host cannot bring back what a newer one has overruled.
//!
//! Absent on purpose: HTML, writing anything, sessions.

use std::sync::Arc;
use std::time::Duration;

use muster_proto::cbor;
use muster_proto::limits::ASK_BYTES_MAX;

pub mod ask;
pub mod door;
mod exposition;
mod fleet;
mod local;
mod moment;
pub mod problem;
mod render;
pub mod rooms;
pub mod rows;
pub mod serve;
pub mod stored;
#[cfg(test)]
mod tests;
mod trouble;

pub use ask::{Ask, Granted, IncidentAsk, LogAsk, Question, RangeAsk, Reader, SeriesAsk};
pub use fleet::{PeerError, Peers, Reply};
pub use problem::Problem;
pub use rooms::{Rooms, Search, Telemetry, TelemetryError};
pub use trouble::IncidentRow;

use ask::{Request, parse_ask};
use fleet::Part;

/// Longest wait for one peer.
pub const PEER_WAIT: Duration = Duration::from_secs(2);
/// Longest search for a peer: it must be over before the peer gives up.
pub const PEER_SEARCH: Duration = Duration::from_millis(1_500);
/// Longest search for a reader.
pub const READER_SEARCH: Duration = Duration::from_secs(10);

/// An answer: what HTTP says, without HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Answer {
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Answer { status: problem.status, content_type: "application/problem+json", body }
    }
}

/// Answers a reader: asks this aggregator's rooms and every peer, and merges.
pub async fn answer(rooms: &Arc<Rooms>, ask: &Ask) -> Answer {
    match answer_or_problem(rooms, ask).await {
        Ok(answer) => answer,
        Err(problem) => problem.into(),
    }
}

/// Answers another aggregator, from this one's rooms only. In: CBOR of a [`Question`]; out: CBOR, for [`answer`].
pub async fn answer_peer(rooms: &Arc<Rooms>, question: &[u8]) -> Vec<u8> {
    let part = match cbor::parse::<Question>(question, ASK_BYTES_MAX) {
        Ok(question) => ask_rooms(rooms, question, PEER_SEARCH).await,
        Err(error) => Err(Problem::question(format!("cannot read the question: {error}"))),
    };
    fleet::encode_part(&part)
}

async fn answer_or_problem(rooms: &Arc<Rooms>, ask: &Ask) -> Result<Answer, Problem> {
    let now = (rooms.clock)();
    let Request { page, question, local } = parse_ask(ask, now)?;
    let Some(question) = question else {
        return Ok(render::text((rooms.own)()));
    };
    if let Question::Logs(logs) = &question {
        rooms.check_classes(logs)?;
    }
    let asked = serde_cbor::to_vec(&question).map_err(|error| Problem::ours(error.to_string()))?;
    if asked.len() > ASK_BYTES_MAX {
        return Err(Problem::question(format!("the question has more than {ASK_BYTES_MAX} bytes")));
    }
    let peers = async {
        if local { fleet::Gathered::default() } else { fleet::gather(&rooms.peers, asked).await }
    };
    let (own, mut gathered) =
        tokio::join!(ask_rooms(rooms, question.clone(), READER_SEARCH), peers);
    gathered.parts.insert(0, own?);
    let rooms = Arc::clone(rooms);
    // Merging a large fleet takes long enough to hold up other connections of this thread.
    let merged = tokio::task::spawn_blocking(move || {
        if !local && let Question::Fleet(ask) | Question::Federate(ask, _) = &question {
            gathered.common = trouble::common(&rooms, ask);
        }
        render::render(&page, &question, gathered)
    });
    merged.await.map_err(|error| Problem::ours(error.to_string()))?
}

/// Asks this aggregator's rooms, on a thread that may block. When the caller goes away the search ends.
async fn ask_rooms(
    rooms: &Arc<Rooms>,
    question: Question,
    wait: Duration,
) -> Result<Part, Problem> {
    let Ok(turn) = Arc::clone(&rooms.turns).try_acquire_owned() else {
        return Err(Problem::busy("the aggregator answers as many questions as it can"));
    };
    let search = Search::new(wait);
    let (rooms, flag) = (Arc::clone(rooms), search.clone());
    let _cancel_on_drop = search.cancel_on_drop();
    let task = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        local::answer(&rooms, &question, &flag)
    });
    task.await.map_err(|error| Problem::ours(error.to_string()))?
}
