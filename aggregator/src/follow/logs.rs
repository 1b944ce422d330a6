//! Logs: frames go into the head of the log store, which is sealed when it is large or old.

use muster_proto::clock::Utc;

use super::Follower;
use crate::inbox::Entry;
use crate::stores::logs::LogStore;
use crate::stores::{HostTag, StoreError};

/// Follows the logs lane.
pub struct LogFollower {
    /// Where lines go.
    pub store: LogStore,
}

/// Its cursor.
pub const CURSOR: &str = "log-store";

impl Follower for LogFollower {
    fn cursor(&self) -> &'static str {
        CURSOR
    }

    fn take(&mut self, seq: u64, entry: &Entry<'_>, now: Utc) -> Result<(), StoreError> {
        let tag = HostTag { host: entry.host.into(), datacenter: entry.datacenter.into() };
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
