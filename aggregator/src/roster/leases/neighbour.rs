//! What is known of one other aggregator: when it was heard, what it said, who vouches for it.

use std::collections::BTreeMap;

use muster_proto::clock::Utc;
use muster_proto::digest::{Edition, Hearing, Opened};

/// Another aggregator.
#[derive(Debug, Clone, Default)]
pub struct Neighbour {
    /// Its datacenter.
    pub site: String,
    /// Its last answer to ourselves.
    pub heard: Option<Utc>,
    /// Since when we hear it without a break, or not.
    pub since: Utc,
    /// When its newest word was said, by our clock; it may have come through another aggregator.
    pub said_at: Option<Utc>,
    /// The last moment at which it surely lived: our own hearing, or the word of one that we hear.
    pub vouched: Option<Utc>,
    /// Which aggregators it hears, by our clock.
    pub hears: Vec<Hearing>,
    /// Which incidents it sees open.
    pub open: Vec<Opened>,
    /// What we have of its book.
    pub(super) edition: Option<Edition>,
    /// When we had all of it last.
    pub(super) full_at: Option<Utc>,
    /// The last question to it about each aggregator, while it is under way: its number.
    pub(super) asked: BTreeMap<String, u64>,
}
