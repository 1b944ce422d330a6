//! State: batches go into the roster at once and into its store about once a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::frame::{self, Kind};
use muster_proto::state::parse_state;

use super::Follower;
use crate::inbox::Entry;
use crate::roster::{Arrival, Changes, Roster};
use crate::stores::StoreError;
use crate::stores::state::StateStore;

/// Its cursor.
pub const CURSOR: &str = "roster";
/// The roster is saved at most this often.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Follows the state lane.
pub struct StateFollower {
    /// The roll of the fleet.
    pub roster: Arc<Mutex<Roster>>,
    /// Where it is saved.
    pub store: StateStore,
    /// Who we are: the aggregator that took the batches in.
    pub aggregator: String,
    /// When it was saved last.
    pub saved_at: Utc,
    /// Up to which entry.
    pub saved_upto: u64,
    /// What the roster handed out and the store refused so far.
    pub unsaved: Changes,
}

impl StateFollower {
    fn save(&mut self, seen: u64, now: Utc) -> Result<(), StoreError> {
        let changes = self.roster.lock().unwrap_or_else(PoisonError::into_inner).changes();
        self.unsaved.merge(changes);
        self.saved_at = now;
        self.store.save(&self.unsaved)?;
        self.unsaved = Changes::default();
        self.saved_upto = seen;
        Ok(())
    }
}

impl Follower for StateFollower {
    fn cursor(&self) -> &'static str {
        CURSOR
    }

    fn take(&mut self, _seq: u64, entry: &Entry<'_>, now: Utc) -> Result<(), StoreError> {
        let (header, body) = frame::open(entry.frame)?;
        if header.kind != Kind::State {
            let found = format!("{:?}", header.kind);
            return Err(StoreError::Kind { store: "state", found });
        }
        let mut raw = Vec::new();
        frame::inflate(&header, body, &mut raw)?;
        let batch = parse_state(&raw).map_err(|error| StoreError::Body {
            what: "state records",
            host: entry.host.to_owned(),
            source: Box::new(error),
        })?;
        let arrival = Arrival {
            host: entry.host,
            datacenter: entry.datacenter,
            aggregator: &self.aggregator,
            stream: header.stream,
            seq: header.seq,
        };
        let mut roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        roster.on_batch(arrival, now, &batch);
        Ok(())
    }

    fn settle(&mut self, seen: u64, now: Utc) -> Result<u64, StoreError> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner).on_tick(now);
        if now.since(self.saved_at) >= SAVE_EVERY {
            self.save(seen, now)?;
        }
        Ok(self.saved_upto)
    }

    fn finish(&mut self, seen: u64, now: Utc) {
        // A failure here only means that the next start reads these entries again.
        let _ = self.save(seen, now);
    }
}
