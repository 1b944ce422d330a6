//! What the fleet knows, across restarts: the word of other aggregators, and incidents. Tables of `state.db`.
//!
//! ```text
//! lease     one row a host of another aggregator: CBOR of LeaseRecord
//! incident  one row an incident: kind, when, CBOR of Incident
//! ```

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, params};

use super::{SCHEMA, bodies, encode};
use crate::incidents::{Incident, IncidentChanges};
use crate::roster::leases::{LeaseChanges, LeaseRecord};
use crate::stores::{StoreError, sqlite};

/// Everything that was kept.
#[derive(Debug, Default)]
pub struct SavedFleet {
    /// Hosts that others speak for.
    pub leases: Vec<LeaseRecord>,
    /// Incidents, open and closed.
    pub incidents: Vec<Incident>,
    /// Rows that could not be read and were left out.
    pub unreadable: u64,
}

/// `state.db`, opened once more, beside [`super::StateStore`].
pub struct FleetStore {
    db: Connection,
    file: PathBuf,
}

impl FleetStore {
    /// Opens or makes the file and brings its schema up to date.
    ///
    /// # Errors
    /// As [`super::StateStore::open`].
    pub fn open(file: &Path) -> Result<FleetStore, StoreError> {
        let db = sqlite::open_writer(file, &SCHEMA)?;
        Ok(FleetStore { db, file: file.to_path_buf() })
    }

    /// Writes what changed in one durable transaction.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], [`StoreError::Encode`].
    pub fn save(
        &mut self,
        leases: &LeaseChanges,
        incidents: &IncidentChanges,
    ) -> Result<(), StoreError> {
        let changed = [leases.hosts.len(), leases.gone.len()];
        let told = [incidents.incidents.len(), incidents.gone.len()];
        if changed.iter().chain(&told).all(|count| *count == 0) {
            return Ok(());
        }
        let file = self.file.clone();
        let failed = |source| StoreError::Sqlite { file: file.clone(), source };
        let transaction = self.db.transaction().map_err(failed)?;
        for host in &leases.gone {
            remove(&transaction, "DELETE FROM lease WHERE host = ?1", host).map_err(failed)?;
        }
        for id in &incidents.gone {
            remove(&transaction, "DELETE FROM incident WHERE id = ?1", id).map_err(failed)?;
        }
        for record in &leases.hosts {
            let body = encode("a lease", record)?;
            put_lease(&transaction, record, &body).map_err(failed)?;
        }
        for incident in &incidents.incidents {
            let body = encode("an incident", incident)?;
            put_incident(&transaction, incident, &body).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// Reads everything back. A row that cannot be decoded is counted, not an error.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn load(&self) -> Result<SavedFleet, StoreError> {
        let mut saved = SavedFleet::default();
        let (db, file) = (&self.db, &self.file);
        let unreadable = &mut saved.unreadable;
        saved.leases = bodies((db, file), "SELECT body FROM lease ORDER BY host", unreadable)?;
        saved.incidents =
            bodies((db, file), "SELECT body FROM incident ORDER BY since", unreadable)?;
        Ok(saved)
    }
}

fn remove(db: &Transaction<'_>, question: &str, key: &str) -> rusqlite::Result<()> {
    db.prepare_cached(question)?.execute(params![key]).map(drop)
}

fn put_lease(db: &Transaction<'_>, record: &LeaseRecord, body: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO lease VALUES(?1, ?2, ?3)")?
        .execute(params![record.lease.host, record.owner, body])
        .map(drop)
}

fn put_incident(db: &Transaction<'_>, incident: &Incident, body: &[u8]) -> rusqlite::Result<()> {
    let until = incident.until.map(|until| until.0);
    db.prepare_cached("INSERT OR REPLACE INTO incident VALUES(?1, ?2, ?3, ?4, ?5)")?
        .execute(params![incident.id(), incident.kind.name(), incident.since.0, until, body])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use muster_proto::clock::Utc;
    use muster_proto::digest::{Lease, Rank, Standing};
    use muster_proto::verdict::Urgency;

    use super::*;
    use crate::incidents::{Kind, Scope};

    fn incident(name: &str, since: i64) -> Incident {
        Incident {
            scope: Scope::Host(name.into()),
            kind: Kind::HostLost,
            since: Utc(since),
            seen: Utc(since),
            until: None,
            verdict: "gone".into(),
            urgency: Urgency::Ticket,
            hosts: 1,
            listed: vec![name.into()],
            exceptions: 0,
            exceptions_listed: Vec::new(),
            evidence: Vec::new(),
            returns: 0,
            part_of: None,
        }
    }

    fn lease(host: &str, beat_s: u32) -> LeaseRecord {
        let lease = Lease {
            host: host.into(),
            datacenter: "eqiad".into(),
            rank: Rank::default(),
            connected: true,
            since: Utc(1),
            heard: Utc(2),
            beat_s,
            standing: Standing::Live,
            left: String::new(),
        };
        LeaseRecord { owner: "agg1".into(), lease, said_at: Utc(3), dropped: false, prior: None }
    }

    #[test]
    fn the_newest_stays_across_a_restart_and_what_is_gone_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let mut store = FleetStore::open(&file).unwrap();
        let leases = LeaseChanges { hosts: vec![lease("a", 1), lease("b", 1)], gone: Vec::new() };
        let told = vec![incident("a", 1), incident("b", 2)];
        store.save(&leases, &IncidentChanges { incidents: told, gone: Vec::new() }).unwrap();
        let leases = LeaseChanges { hosts: vec![lease("a", 2)], gone: vec!["b".into()] };
        let gone = vec![incident("a", 1).id()];
        store.save(&leases, &IncidentChanges { incidents: Vec::new(), gone }).unwrap();
        drop(store);
        let saved = FleetStore::open(&file).unwrap().load().unwrap();
        assert_eq!(saved.leases, [lease("a", 2)]);
        assert_eq!((saved.incidents, saved.unreadable), (vec![incident("b", 2)], 0));
    }
}
