//! Metrics: dicts are kept at once, scrapes go into the head of the metric store.

use muster_proto::clock::Utc;
use muster_proto::frame::{Header, Kind};

use super::Follower;
use crate::inbox::Entry;
use crate::stores::metrics::MetricStore;
use crate::stores::{HostTag, StoreError};

/// Follows the metrics lane.
pub struct MetricFollower {
    /// Where samples go.
    pub store: MetricStore,
}

/// Its cursor.
pub const CURSOR: &str = "metric-store";

impl Follower for MetricFollower {
    fn cursor(&self) -> &'static str {
        CURSOR
    }

    fn take(&mut self, seq: u64, entry: &Entry<'_>, now: Utc) -> Result<(), StoreError> {
        let tag = HostTag { host: entry.host.into(), datacenter: entry.datacenter.into() };
        if Header::parse(entry.frame)?.kind == Kind::Dict {
            return self.store.take_dict(&tag, entry.frame).map(drop);
        }
        match self.store.take(seq, &tag, entry.frame, now) {
            Err(StoreError::HeadFull { .. }) => {
                self.store.seal(now)?;
                self.store.take(seq, &tag, entry.frame, now).map(drop)
            }
            other => other.map(drop),
        }
    }

    fn settle(&mut self, _seen: u64, now: Utc) -> Result<u64, StoreError> {
        while self.store.is_due(now) {
            if self.store.seal(now)?.is_none() {
                break;
            }
        }
        Ok(self.store.sealed_upto())
    }
}
