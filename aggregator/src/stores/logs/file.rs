//! One day of one class: a SQLite file with parts, blocks and counts.
//!
//! Room: `stores/logs`.  May use: nobody.  Used by: the seal, the search.
//!
//! ```text
//! part   one seal's share of this file; (stream, first, last) = range of spool seqs, taken once
//! blk    a block: times, severities seen (bit n = severity n), raw bytes, tables, bloom, lines
//! hist   lines of a part in a minute and severity, for counting without reading blocks
//! ```

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::stores::StoreError;
use crate::stores::ledger::Range;
use crate::stores::sqlite::{self, Schema};

pub(super) const SCHEMA: Schema = Schema {
    steps: &["CREATE TABLE part(
        id INTEGER PRIMARY KEY, stream BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        lines INTEGER NOT NULL DEFAULT 0, raw_bytes INTEGER NOT NULL DEFAULT 0,
        UNIQUE(stream, first, last)
    );
    CREATE TABLE blk(
        id INTEGER PRIMARY KEY, part INTEGER NOT NULL, first_at INTEGER NOT NULL,
        last_at INTEGER NOT NULL, severities INTEGER NOT NULL, lines INTEGER NOT NULL,
        raw_bytes INTEGER NOT NULL, tables BLOB NOT NULL, bloom BLOB NOT NULL, body BLOB NOT NULL
    );
    CREATE INDEX blk_newest ON blk(last_at, id, first_at, part, severities);
    CREATE INDEX blk_oldest ON blk(first_at, id, last_at, part, severities);
    CREATE TABLE hist(
        part INTEGER NOT NULL, minute INTEGER NOT NULL, severity INTEGER NOT NULL,
        lines INTEGER NOT NULL, PRIMARY KEY(part, minute, severity)
    ) WITHOUT ROWID;"],
};

/// A block as it is written.
pub(super) struct BlockRow {
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    pub(super) severities: u8,
    pub(super) lines: u64,
    pub(super) raw_bytes: u64,
    pub(super) tables: Vec<u8>,
    pub(super) bloom: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl BlockRow {
    pub(super) fn bytes(&self) -> u64 {
        (self.tables.len() + self.bloom.len() + self.body.len()) as u64
    }
}

/// A part that is being written: everything or nothing.
pub(super) struct PartWriter<'a> {
    change: rusqlite::Transaction<'a>,
    part: i64,
}

impl<'a> PartWriter<'a> {
    /// Begins the part; `None` when the file has it already.
    pub(super) fn begin(
        db: &'a mut Connection,
        stream: &[u8; 16],
        range: Range,
    ) -> Result<Option<PartWriter<'a>>, rusqlite::Error> {
        let change = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let new = change.execute(
            "INSERT OR IGNORE INTO part(stream, first, last) VALUES (?1, ?2, ?3)",
            params![stream.as_slice(), range.first.cast_signed(), range.last.cast_signed()],
        )?;
        if new == 0 {
            return Ok(None);
        }
        let part = change.last_insert_rowid();
        Ok(Some(PartWriter { change, part }))
    }

    pub(super) fn block(&self, row: &BlockRow) -> Result<(), rusqlite::Error> {
        let mut insert = self.change.prepare_cached(
            "INSERT INTO blk(part, first_at, last_at, severities, lines, raw_bytes, tables, bloom,
             body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        insert.execute(params![
            self.part,
            row.first_at,
            row.last_at,
            row.severities,
            row.lines.cast_signed(),
            row.raw_bytes.cast_signed(),
            row.tables,
            row.bloom,
            row.body
        ])?;
        let mut sum = self.change.prepare_cached(
            "UPDATE part SET lines = lines + ?2, raw_bytes = raw_bytes + ?3 WHERE id = ?1",
        )?;
        sum.execute(params![self.part, row.lines.cast_signed(), row.raw_bytes.cast_signed()])?;
        Ok(())
    }

    pub(super) fn count(
        &self,
        minute: i64,
        severity: u8,
        lines: u64,
    ) -> Result<(), rusqlite::Error> {
        let mut insert = self.change.prepare_cached(
            "INSERT INTO hist(part, minute, severity, lines) VALUES (?1, ?2, ?3, ?4)",
        )?;
        insert.execute(params![self.part, minute, severity, lines.cast_signed()]).map(|_| ())
    }

    pub(super) fn commit(self) -> Result<(), rusqlite::Error> {
        self.change.commit()
    }
}

/// Which parts of a file a search may see: those that were there when it took the head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    pub(super) stream: [u8; 16],
    pub(super) upto: u64,
}

/// A block as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockFacts {
    pub(super) id: i64,
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    pub(super) severities: u8,
    part: i64,
}

/// An open day file, for reading.
pub(super) struct DayReader {
    db: Connection,
    newest_part: i64,
    hidden: HashSet<i64>,
}

/// How to go through the blocks of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    pub(super) since: i64,
    pub(super) until: i64,
    pub(super) newest_first: bool,
}

impl DayReader {
    /// Opens `file` and notes which of its parts are beyond the horizon.
    pub(super) fn open(file: &Path, horizon: &Horizon) -> Result<DayReader, StoreError> {
        let db = sqlite::open_reader(file)?;
        let read = || {
            let newest_part =
                db.query_row("SELECT coalesce(max(id), 0) FROM part", [], |row| row.get(0))?;
            let mut hidden = db.prepare("SELECT id FROM part WHERE stream = ?1 AND first > ?2")?;
            let hidden = hidden
                .query_map(params![horizon.stream.as_slice(), horizon.upto.cast_signed()], |row| {
                    row.get(0)
                })?
                .collect::<Result<HashSet<i64>, _>>()?;
            Ok((newest_part, hidden))
        };
        let (newest_part, hidden) = read().map_err(StoreError::sqlite(file))?;
        Ok(DayReader { db, newest_part, hidden })
    }

    /// At most `max` blocks that follow `after` (rank, id) on the walk. A short read transaction.
    ///
    /// Blocks beyond the horizon are among them, marked by [`DayReader::is_visible`].
    pub(super) fn blocks(
        &self,
        walk: &Walk,
        after: Option<(i64, i64)>,
        max: usize,
    ) -> Result<Vec<BlockFacts>, rusqlite::Error> {
        let sql = if walk.newest_first {
            "SELECT id, first_at, last_at, severities, part FROM blk
             WHERE last_at >= ?1 AND first_at < ?2 AND (last_at, id) < (?3, ?4)
             ORDER BY last_at DESC, id DESC LIMIT ?5"
        } else {
            "SELECT id, first_at, last_at, severities, part FROM blk
             WHERE last_at >= ?1 AND first_at < ?2 AND (first_at, id) > (?3, ?4)
             ORDER BY first_at, id LIMIT ?5"
        };
        let edge = if walk.newest_first { (i64::MAX, i64::MAX) } else { (i64::MIN, 0) };
        let (at, id) = after.unwrap_or(edge);
        self.db
            .prepare_cached(sql)?
            .query_map(params![walk.since, walk.until, at, id, max as i64], |row| {
                Ok(BlockFacts {
                    id: row.get(0)?,
                    first_at: row.get(1)?,
                    last_at: row.get(2)?,
                    severities: row.get(3)?,
                    part: row.get(4)?,
                })
            })?
            .collect()
    }

    pub(super) fn is_visible(&self, block: &BlockFacts) -> bool {
        block.part <= self.newest_part && !self.hidden.contains(&block.part)
    }

    /// One of the blobs of a block: `tables`, `bloom` or `body`.
    pub(super) fn blob(&self, block: i64, what: Blob) -> Result<Vec<u8>, rusqlite::Error> {
        let sql = match what {
            Blob::Tables => "SELECT tables FROM blk WHERE id = ?1",
            Blob::Bloom => "SELECT bloom FROM blk WHERE id = ?1",
            Blob::Body => "SELECT body FROM blk WHERE id = ?1",
        };
        self.db.prepare_cached(sql)?.query_row([block], |row| row.get(0))
    }

    /// Lines per (minute, severity) in `first..=last` minutes, visible parts only.
    pub(super) fn counts(
        &self,
        first: i64,
        last: i64,
        mut each: impl FnMut(i64, u8, u64),
    ) -> Result<(), rusqlite::Error> {
        let mut select = self.db.prepare(
            "SELECT part, minute, severity, lines FROM hist WHERE minute BETWEEN ?1 AND ?2",
        )?;
        let mut rows = select.query(params![first, last])?;
        while let Some(row) = rows.next()? {
            let part: i64 = row.get(0)?;
            if part <= self.newest_part && !self.hidden.contains(&part) {
                each(row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?.cast_unsigned());
            }
        }
        Ok(())
    }

    /// Lines of each part, as the parts say.
    #[cfg(test)]
    pub(super) fn lines(&self) -> i64 {
        let sql = "SELECT coalesce(sum(lines), 0) FROM part";
        self.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// Which blob of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blob {
    Tables,
    Bloom,
    Body,
}
