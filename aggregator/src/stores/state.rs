//! The state store: what the aggregator knows of hosts, across its own restarts.
//!
//! Room: `stores/state`.  May use: `proto`.  Used by: the roster's task.
//!
//! `state.db`, WAL, synchronous=FULL. The roster is a pure state machine somewhere else; it says what
//! to write, in batches, and reads everything back at start. Records are kept as the CBOR of the
//! proto types, so that a new optional field needs no migration.
//!
//! ```text
//! host   one row a host: tag, when last heard of, its stream, facts
//! chk    one row a check instance: CBOR of CheckState
//! gap    what was dropped and will never come; the newest GAPS_MAX of all hosts
//! kv     small things by name
//! ```

mod rows;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use muster_proto::clock::Utc;
use muster_proto::ids::StreamId;
use muster_proto::state::{CheckState, Gap, HostFacts};
use rusqlite::{Connection, OptionalExtension, params};

use super::sqlite::{self, Schema};
use super::{HostTag, StoreError};

/// Gaps that are kept, the newest of all hosts. A gap a second for a day.
pub const GAPS_MAX: i64 = 86_400;

const SCHEMA: Schema = Schema {
    steps: &["CREATE TABLE host(
        host TEXT PRIMARY KEY, datacenter TEXT NOT NULL, state TEXT NOT NULL,
        last_seen INTEGER NOT NULL, aggregator TEXT NOT NULL, stream BLOB NOT NULL, facts BLOB
    ) WITHOUT ROWID;
    CREATE TABLE chk(
        host TEXT NOT NULL, id TEXT NOT NULL, instance TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY(host, id, instance)
    ) WITHOUT ROWID;
    CREATE TABLE gap(
        id INTEGER PRIMARY KEY, host TEXT NOT NULL, stream BLOB NOT NULL, lane INTEGER NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, why TEXT NOT NULL, at INTEGER NOT NULL,
        body BLOB NOT NULL, UNIQUE(host, stream, lane, first, last, why, at)
    );
    CREATE TABLE kv(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"],
};

/// What is kept of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedHost {
    /// Who.
    pub tag: HostTag,
    /// The roster's word for how it is: `live`, `late`, `lost`, `departed`.
    pub state: String,
    /// When it was last heard of.
    pub last_seen: Utc,
    /// Which aggregator heard it.
    pub aggregator: String,
    /// Stream of its state lane.
    pub stream: StreamId,
    /// What it said of itself, if it did.
    pub facts: Option<HostFacts>,
}

/// One thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateWrite {
    /// A host is new or changed.
    Host(SavedHost),
    /// A host is forgotten, with its checks. Its gaps stay.
    HostGone {
        /// Which.
        host: String,
    },
    /// A check of a host is new or changed.
    Check {
        /// Which host.
        host: String,
        /// What it says.
        check: CheckState,
    },
    /// A check is retired.
    CheckGone {
        /// Which host.
        host: String,
        /// Which check.
        id: String,
        /// Of which object.
        instance: String,
    },
    /// All checks of a host are these and no others.
    Checks {
        /// Which host.
        host: String,
        /// What they say.
        checks: Vec<CheckState>,
    },
    /// Something was lost. The same gap twice is one gap.
    Gap {
        /// Which host.
        host: String,
        /// What.
        gap: Gap,
    },
    /// A value by name; `None` removes it.
    Value {
        /// Its name.
        name: String,
        /// The value.
        value: Option<Vec<u8>>,
    },
}

/// Everything that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved {
    /// Hosts, by name.
    pub hosts: Vec<SavedHost>,
    /// Checks with their host, by host, id and instance.
    pub checks: Vec<(String, CheckState)>,
    /// Gaps with their host, oldest first.
    pub gaps: Vec<(String, Gap)>,
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

    /// Writes a batch in one durable transaction, in its order: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], [`StoreError::Encode`].
    pub fn write(&mut self, batch: &[StateWrite]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let fail = StoreError::sqlite(&self.file);
        let change = match self.db.transaction() {
            Ok(change) => change,
            Err(error) => return Err(fail(error)),
        };
        for one in batch {
            rows::write(&change, &self.file, one)?;
        }
        change.commit().map_err(fail)
    }

    /// Keeps one host.
    ///
    /// # Errors
    /// As [`StateStore::write`].
    pub fn save_host(&mut self, host: SavedHost) -> Result<(), StoreError> {
        self.write(&[StateWrite::Host(host)])
    }

    /// Keeps all checks of a host; others of it are removed.
    ///
    /// # Errors
    /// As [`StateStore::write`].
    pub fn save_checks(&mut self, host: &str, checks: Vec<CheckState>) -> Result<(), StoreError> {
        self.write(&[StateWrite::Checks { host: host.to_string(), checks }])
    }

    /// Keeps one gap.
    ///
    /// # Errors
    /// As [`StateStore::write`].
    pub fn save_gap(&mut self, host: &str, gap: Gap) -> Result<(), StoreError> {
        self.write(&[StateWrite::Gap { host: host.to_string(), gap }])
    }

    /// Reads everything but the values. A row that cannot be decoded is counted, not an error.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn load_all(&self) -> Result<Saved, StoreError> {
        rows::load_all(&self.db).map_err(StoreError::sqlite(&self.file))
    }

    /// The value of that name.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .query_row("SELECT value FROM kv WHERE name = ?1", params![name], |row| row.get(0))
            .optional()
            .map_err(StoreError::sqlite(&self.file))
    }
}
