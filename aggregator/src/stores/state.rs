//! The state store: what the roster knows, across the aggregator's own restarts.
//!
//! Room: `stores/state`.  May use: `roster`, `incidents` (their records).  Used by: the state follower, the app.
//!
//! `state.db`, WAL, synchronous=FULL. The roster is a pure state machine; it hands out what changed
//! and gets everything back at start. Records are kept as their CBOR, so that a new optional field
//! needs no migration; the columns beside them are keys, and words for a person with sqlite3(1).
//!
//! ```text
//! host   one row a host: datacenter, word of its liveness, when last seen, CBOR of HostRecord
//! chk    one row a check of a stream of a host: its verdict, CBOR of CheckRecord
//! ```
//! What all aggregators together know stands in further tables: [`fleet`].

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use super::sqlite::{self, Schema};
use crate::roster::{Changes, CheckRecord, CheckRef, HostRecord};

pub mod fleet;

const SCHEMA: Schema = Schema {
    steps: &[
        "CREATE TABLE host(
        host TEXT PRIMARY KEY, datacenter TEXT NOT NULL, state TEXT NOT NULL,
        last_seen INTEGER NOT NULL, body BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE chk(
        host TEXT NOT NULL, stream BLOB NOT NULL, id TEXT NOT NULL, instance TEXT NOT NULL,
        verdict TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY(host, stream, id, instance)
    ) WITHOUT ROWID;",
        "CREATE TABLE lease(
        host TEXT PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE incident(
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER,
        body BLOB NOT NULL
    ) WITHOUT ROWID;",
    ],
};

/// Everything that was kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Saved {
    /// Hosts, by name.
    pub hosts: Vec<HostRecord>,
    /// Checks, by host.
    pub checks: Vec<CheckRecord>,
    /// Rows that could not be read and were left out; agents send their state again.
    pub unreadable: u64,
}

/// `state.db`, open.
pub struct StateStore {
    db: Connection,
    file: PathBuf,
}

impl StateStore {
    /// Opens or makes the file and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; [`StoreError::Schema`] when a newer Muster wrote it.
    pub fn open(file: &Path) -> Result<StateStore, StoreError> {
        let db = sqlite::open_writer(file, &SCHEMA)?;
        Ok(StateStore { db, file: file.to_path_buf() })
    }

    /// Writes what changed in one durable transaction: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], [`StoreError::Encode`].
    pub fn save(&mut self, changes: &Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let file = self.file.clone();
        let failed = |source| StoreError::Sqlite { file: file.clone(), source };
        let transaction = self.db.transaction().map_err(failed)?;
        for name in &changes.gone_hosts {
            forget(&transaction, name).map_err(failed)?;
        }
        for gone in &changes.gone_checks {
            retire(&transaction, gone).map_err(failed)?;
        }
        for host in &changes.hosts {
            let body = encode("a host", host)?;
            put_host(&transaction, host, &body).map_err(failed)?;
        }
        for check in &changes.checks {
            let body = encode("a check", check)?;
            put_check(&transaction, check, &body).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// Reads everything back. A row that cannot be decoded is counted, not an error.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn load(&self) -> Result<Saved, StoreError> {
        let mut saved = Saved::default();
        let (db, file) = (&self.db, &self.file);
        let unreadable = &mut saved.unreadable;
        saved.hosts = bodies((db, file), "SELECT body FROM host ORDER BY host", unreadable)?;
        saved.checks = bodies((db, file), "SELECT body FROM chk ORDER BY host", unreadable)?;
        Ok(saved)
    }
}

/// Every row of a question as what it encodes; rows that cannot be read are counted.
fn bodies<T: DeserializeOwned>(
    (db, file): (&Connection, &Path),
    question: &str,
    unreadable: &mut u64,
) -> Result<Vec<T>, StoreError> {
    let failed = |source| StoreError::Sqlite { file: file.to_path_buf(), source };
    let mut statement = db.prepare(question).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let body: Vec<u8> = row.get(0).map_err(failed)?;
        match serde_cbor::from_slice(&body) {
            Ok(record) => found.push(record),
            Err(_) => *unreadable += 1,
        }
    }
    Ok(found)
}

fn encode<T: Serialize>(what: &'static str, record: &T) -> Result<Vec<u8>, StoreError> {
    serde_cbor::to_vec(record).map_err(|error| StoreError::Encode { what, source: Box::new(error) })
}

fn forget(db: &Transaction<'_>, host: &str) -> rusqlite::Result<()> {
    db.execute("DELETE FROM chk WHERE host = ?1", params![host])?;
    db.execute("DELETE FROM host WHERE host = ?1", params![host]).map(drop)
}

fn retire(db: &Transaction<'_>, gone: &CheckRef) -> rusqlite::Result<()> {
    let CheckRef { host, stream, id, instance } = gone;
    let key = params![host, stream.0, id, instance];
    db.prepare_cached(
        "DELETE FROM chk WHERE host = ?1 AND stream = ?2 AND id = ?3 AND instance = ?4",
    )?
    .execute(key)
    .map(drop)
}

fn put_host(db: &Transaction<'_>, host: &HostRecord, body: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO host VALUES(?1, ?2, ?3, ?4, ?5)")?
        .execute(params![host.host, host.datacenter, host.state, host.last_seen.0, body])
        .map(drop)
}

fn put_check(db: &Transaction<'_>, check: &CheckRecord, body: &[u8]) -> rusqlite::Result<()> {
    let CheckRecord { host, stream, state, .. } = check;
    db.prepare_cached("INSERT OR REPLACE INTO chk VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![host, stream.0, state.id, state.instance, state.verdict.name(), body])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_proto::clock::Utc;
    use muster_proto::ids::{Seq, StreamId};
    use muster_proto::state::CheckState;
    use muster_proto::verdict::{Urgency, Verdict};

    const STREAM: StreamId = StreamId([7; 16]);

    fn host(name: &str, last_seen: i64) -> HostRecord {
        HostRecord {
            host: name.into(),
            datacenter: "eqiad".into(),
            aggregator: "agg1".into(),
            first_seen: Utc(1),
            last_seen: Utc(last_seen),
            state: "live".into(),
            lives: Vec::new(),
        }
    }

    fn check(host: &str, id: &str, verdict: Verdict) -> CheckRecord {
        let state = CheckState {
            id: id.into(),
            instance: "/".into(),
            verdict,
            since: Utc(1),
            at: Utc(2),
            valid_for_s: 60,
            urgency: Urgency::Page,
            message: "full".into(),
            runbook: String::new(),
            owner: String::new(),
            evidence: String::new(),
        };
        CheckRecord { host: host.into(), stream: STREAM, seq: Seq(1), index: 0, state }
    }

    fn gone(host: &str, id: &str) -> CheckRef {
        CheckRef { host: host.into(), stream: STREAM, id: id.into(), instance: "/".into() }
    }

    #[test]
    fn newest_stays_across_a_restart_and_what_is_gone_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let mut store = StateStore::open(&file).unwrap();
        store
            .save(&Changes {
                hosts: vec![host("a", 1), host("b", 1)],
                checks: vec![
                    check("a", "fs.space", Verdict::Ok),
                    check("a", "mem", Verdict::Ok),
                    check("b", "x", Verdict::Crit),
                ],
                ..Changes::default()
            })
            .unwrap();
        store
            .save(&Changes {
                hosts: vec![host("a", 9)],
                checks: vec![check("a", "fs.space", Verdict::Crit)],
                gone_checks: vec![gone("a", "mem")],
                gone_hosts: vec!["b".into()],
            })
            .unwrap();
        drop(store);
        let saved = StateStore::open(&file).unwrap().load().unwrap();
        assert_eq!(saved.hosts, [host("a", 9)]);
        assert_eq!(saved.checks, [check("a", "fs.space", Verdict::Crit)]);
        assert_eq!(saved.unreadable, 0);
    }

    #[test]
    fn a_row_that_cannot_be_read_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let mut store = StateStore::open(&file).unwrap();
        let changes = Changes { hosts: vec![host("a", 1), host("b", 1)], ..Changes::default() };
        store.save(&changes).unwrap();
        store.db.execute("UPDATE host SET body = x'ff' WHERE host = 'a'", []).unwrap();
        let saved = store.load().unwrap();
        assert_eq!((saved.hosts, saved.unreadable), (vec![host("b", 1)], 1));
    }
}
