//! One day of metrics: a SQLite file with a block for each host and quarter of an hour.
//!
//! Room: `stores/metrics`.  May use: `proto`.  Used by: `metrics`.
//!
//! ```text
//! part     one seal's share of this file; (stream, first, last) = range of spool seqs, taken once
//! series   series tables, each content once; hash = CRC32C << 32 | length, only to find it
//! blk      a block of one host: times, which series table, the block
//! ```

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use muster_proto::metric::{Dict, Series};
use rusqlite::{Connection, OptionalExtension, params};

use super::block;
use super::head::Row;
use crate::stores::ledger::Range;
use crate::stores::sqlite::{self, Schema};
use crate::stores::{HostTag, StoreError};

const SCHEMA: Schema = Schema {
    steps: &["CREATE TABLE part(
        id INTEGER PRIMARY KEY, stream BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        UNIQUE(stream, first, last)
    );
    CREATE TABLE series(id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE INDEX series_hash ON series(hash);
    CREATE TABLE blk(
        id INTEGER PRIMARY KEY, part INTEGER NOT NULL, host TEXT NOT NULL, datacenter TEXT NOT NULL,
        first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, scrapes INTEGER NOT NULL,
        series INTEGER NOT NULL, body BLOB NOT NULL
    );
    CREATE INDEX blk_time ON blk(last_at, first_at, part, host, datacenter, series);"],
};

/// Scrapes of one host and dict on one day.
pub(super) struct HostRows {
    pub(super) tag: HostTag,
    pub(super) dict: Arc<Dict>,
    pub(super) rows: Vec<Arc<Row>>,
}

/// Writes a part's share of one day in one transaction, or nothing if the file has it.
///
/// Returns the samples and bytes written.
///
/// # Errors
/// [`StoreError`]; then the file is as it was.
pub(super) fn write(
    path: &Path,
    hosts: &mut [HostRows],
    stream: &[u8; 16],
    range: Range,
) -> Result<(u64, u64), StoreError> {
    let mut db = sqlite::open_writer(path, &SCHEMA)?;
    let encode =
        |source: std::io::Error| StoreError::Encode { what: "metric block", source: source.into() };
    let fail = || StoreError::sqlite(path);
    let change = db.transaction().map_err(fail())?;
    let new = change
        .execute(
            "INSERT OR IGNORE INTO part(stream, first, last) VALUES (?1, ?2, ?3)",
            params![stream.as_slice(), range.first.cast_signed(), range.last.cast_signed()],
        )
        .map_err(fail())?;
    if new == 0 {
        return Ok((0, 0));
    }
    let part = change.last_insert_rowid();
    let (mut samples, mut bytes) = (0, 0);
    for host in hosts {
        host.rows.sort_by_key(|row| row.at);
        let table = block::encode_series(&host.dict.series).map_err(encode)?;
        let series = intern(&change, &table).map_err(fail())?;
        let times: Vec<i64> = host.rows.iter().map(|row| row.at).collect();
        let column = |series: usize| host.rows.iter().map(|row| row.value(series)).collect();
        let body = block::encode(&times, host.dict.series.len(), column).map_err(encode)?;
        samples += (times.len() * host.dict.series.len()) as u64;
        bytes += body.len() as u64;
        let insert = |change: &Connection| {
            change
                .prepare_cached(
                    "INSERT INTO blk(part, host, datacenter, first_at, last_at, scrapes, series, body)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    part,
                    host.tag.host,
                    host.tag.datacenter,
                    times.first(),
                    times.last(),
                    times.len() as i64,
                    series,
                    body
                ])
        };
        insert(&change).map_err(fail())?;
    }
    change.commit().map_err(fail())?;
    Ok((samples, bytes))
}

fn intern(db: &Connection, table: &[u8]) -> Result<i64, rusqlite::Error> {
    let hash = i64::from(crc32c::crc32c(table)) << 32 | table.len() as i64;
    let known = db
        .prepare_cached("SELECT id FROM series WHERE hash = ?1 AND body = ?2")?
        .query_row(params![hash, table], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    db.prepare_cached("INSERT INTO series(hash, body) VALUES (?1, ?2)")?
        .execute(params![hash, table])?;
    Ok(db.last_insert_rowid())
}

/// A block as the index knows it.
pub(super) struct BlockFacts {
    pub(super) id: i64,
    pub(super) host: String,
    pub(super) datacenter: String,
    pub(super) series: i64,
}

/// An open day file, for reading.
pub(super) struct DayReader {
    db: Connection,
}

impl DayReader {
    pub(super) fn open(file: &Path) -> Result<DayReader, StoreError> {
        Ok(DayReader { db: sqlite::open_reader(file)? })
    }

    /// The blocks that may hold samples between two moments, but for parts beyond the horizon.
    pub(super) fn blocks(
        &self,
        (since, until): (i64, i64),
        (stream, upto): (&[u8; 16], u64),
    ) -> Result<Vec<BlockFacts>, rusqlite::Error> {
        let mut hidden = self.db.prepare("SELECT id FROM part WHERE stream = ?1 AND first > ?2")?;
        let hidden = hidden
            .query_map(params![stream.as_slice(), upto.cast_signed()], |row| row.get(0))?
            .collect::<Result<HashSet<i64>, _>>()?;
        let newest: i64 =
            self.db.query_row("SELECT coalesce(max(id), 0) FROM part", [], |row| row.get(0))?;
        let mut select = self.db.prepare(
            "SELECT id, host, datacenter, series, part FROM blk
             WHERE last_at >= ?1 AND first_at <= ?2 ORDER BY last_at",
        )?;
        let mut rows = select.query(params![since, until])?;
        let mut blocks = Vec::new();
        while let Some(row) = rows.next()? {
            let part: i64 = row.get(4)?;
            if part <= newest && !hidden.contains(&part) {
                blocks.push(BlockFacts {
                    id: row.get(0)?,
                    host: row.get(1)?,
                    datacenter: row.get(2)?,
                    series: row.get(3)?,
                });
            }
        }
        Ok(blocks)
    }

    pub(super) fn body(&self, block: i64) -> Result<Vec<u8>, rusqlite::Error> {
        let mut select = self.db.prepare_cached("SELECT body FROM blk WHERE id = ?1")?;
        select.query_row([block], |row| row.get(0))
    }

    pub(super) fn series(
        &self,
        table: i64,
    ) -> Result<Vec<Series>, Box<dyn std::error::Error + Send + Sync>> {
        let mut select = self.db.prepare_cached("SELECT body FROM series WHERE id = ?1")?;
        let bytes: Vec<u8> = select.query_row([table], |row| row.get(0))?;
        Ok(block::parse_series(&bytes)?)
    }
}
