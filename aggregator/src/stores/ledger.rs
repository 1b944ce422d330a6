//! What of a spool is sealed, and which seal is under way.
//!
//! Room: `stores`.  May use: nobody.  Used by: the log and metric stores.
//!
//! `store.db`, table `ledger`, one row for each spool stream that ever fed the store:
//!
//! ```text
//! stream   the spool's random id, 16 bytes
//! upto     last spool seq whose records are all in day files
//! first, last   the part that is being written, or NULL
//! ```
//!
//! A part touches several day files and SQLite commits each on its own. So the range is written
//! here first. A crash in between leaves it standing; after the restart the same range is sealed
//! again under the same name, and the files that have the part already do not take it twice.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::sqlite::{self, Schema};

const SCHEMA: Schema = Schema {
    steps: &["CREATE TABLE ledger(
        stream BLOB PRIMARY KEY, upto INTEGER NOT NULL, first INTEGER, last INTEGER
    ) WITHOUT ROWID;"],
};

/// A range of spool seqs, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First.
    pub first: u64,
    /// Last.
    pub last: u64,
}

/// The ledger of one store and one spool stream.
pub struct Ledger {
    db: Connection,
    file: PathBuf,
    stream: [u8; 16],
    upto: u64,
    open: Option<Range>,
}

impl Ledger {
    /// Opens `store.db` in `folder` for the spool `stream`.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], [`StoreError::Schema`].
    pub fn open(folder: &Path, stream: [u8; 16]) -> Result<Ledger, StoreError> {
        let file = folder.join("store.db");
        let db = sqlite::open_writer(&file, &SCHEMA)?;
        let read = |db: &Connection| {
            db.query_row(
                "SELECT upto, first, last FROM ledger WHERE stream = ?1",
                params![stream.as_slice()],
                |row| {
                    Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?))
                },
            )
            .optional()
        };
        let row = read(&db).map_err(StoreError::sqlite(&file))?;
        let (upto, first, last) = row.unwrap_or((0i64, None, None));
        let open = first.zip(last).map(|(first, last)| Range {
            first: first.cast_unsigned(),
            last: last.cast_unsigned(),
        });
        Ok(Ledger { db, file, stream, upto: upto.cast_unsigned(), open })
    }

    /// Writes down, durably, that `range` is about to be sealed.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn begin(&mut self, range: Range) -> Result<(), StoreError> {
        if self.open == Some(range) {
            return Ok(());
        }
        self.write(self.upto, Some(range))
    }

    /// Writes down, durably, that everything up to the end of the open range is sealed.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn end(&mut self) -> Result<(), StoreError> {
        let upto = self.open.map_or(self.upto, |range| range.last.max(self.upto));
        self.write(upto, None)
    }

    fn write(&mut self, upto: u64, open: Option<Range>) -> Result<(), StoreError> {
        self.db
            .execute(
                "INSERT OR REPLACE INTO ledger(stream, upto, first, last) VALUES (?1, ?2, ?3, ?4)",
                params![
                    self.stream.as_slice(),
                    upto.cast_signed(),
                    open.map(|range| range.first.cast_signed()),
                    open.map(|range| range.last.cast_signed())
                ],
            )
            .map_err(StoreError::sqlite(&self.file))?;
        self.upto = upto;
        self.open = open;
        Ok(())
    }

    /// Last spool seq that is sealed; 0 = none.
    pub fn upto(&self) -> u64 {
        self.upto
    }

    /// The seal that was begun and not ended.
    pub fn under_way(&self) -> Option<Range> {
        self.open
    }

    /// The range to seal next, `taken` being what the head holds; `None` when there is nothing, or
    /// when a seal was cut short and the rest of its range still comes from the spool.
    ///
    /// `is_complete`: no more frames of that range will come.
    pub fn next_seal(&self, taken: Option<Range>, is_complete: bool) -> Option<Range> {
        let Some(open) = self.open else { return taken };
        let is_whole = taken.is_some_and(|taken| taken.last >= open.last);
        (is_whole || is_complete).then_some(open)
    }

    /// The spool's stream.
    pub fn stream(&self) -> [u8; 16] {
        self.stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_range_survives_and_streams_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), [1; 16]).unwrap();
        let range = Range { first: 1, last: 7 };
        ledger.begin(range).unwrap();
        drop(ledger);
        let mut ledger = Ledger::open(folder.path(), [1; 16]).unwrap();
        assert_eq!((ledger.upto(), ledger.under_way()), (0, Some(range)));
        ledger.end().unwrap();
        drop(ledger);
        let ledger = Ledger::open(folder.path(), [1; 16]).unwrap();
        assert_eq!((ledger.upto(), ledger.under_way()), (7, None));
        let other = Ledger::open(folder.path(), [2; 16]).unwrap();
        assert_eq!((other.upto(), other.under_way()), (0, None));
    }
}
