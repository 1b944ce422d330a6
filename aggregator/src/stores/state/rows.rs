//! The rows of `state.db`: how each record is written and read.
//!
//! Room: `stores/state`.  May use: `proto`.  Used by: `state`.

use std::path::Path;

use muster_proto::clock::Utc;
use muster_proto::ids::StreamId;
use muster_proto::state::{CheckState, Gap};
use rusqlite::{Connection, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{GAPS_MAX, Saved, SavedHost, StateWrite};
use crate::stores::{HostTag, StoreError};

/// Writes one thing inside the caller's transaction.
pub(super) fn write(db: &Connection, file: &Path, one: &StateWrite) -> Result<(), StoreError> {
    let written = match one {
        StateWrite::Host(host) => write_host(db, host)?,
        StateWrite::HostGone { host } => run(db, "DELETE FROM host WHERE host = ?1", params![host])
            .and_then(|()| run(db, "DELETE FROM chk WHERE host = ?1", params![host])),
        StateWrite::Check { host, check } => write_check(db, host, check)?,
        StateWrite::CheckGone { host, id, instance } => run(
            db,
            "DELETE FROM chk WHERE host = ?1 AND id = ?2 AND instance = ?3",
            params![host, id, instance],
        ),
        StateWrite::Checks { host, checks } => {
            let mut written = run(db, "DELETE FROM chk WHERE host = ?1", params![host]);
            for check in checks {
                let one = write_check(db, host, check)?;
                written = written.and(one);
            }
            written
        }
        StateWrite::Gap { host, gap } => write_gap(db, host, gap)?,
        StateWrite::Value { name, value: Some(value) } => {
            run(db, "INSERT OR REPLACE INTO kv(name, value) VALUES (?1, ?2)", params![name, value])
        }
        StateWrite::Value { name, value: None } => {
            run(db, "DELETE FROM kv WHERE name = ?1", params![name])
        }
    };
    written.map_err(StoreError::sqlite(file))
}

type Written = Result<(), rusqlite::Error>;

fn run(db: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Written {
    db.prepare_cached(sql)?.execute(values).map(|_| ())
}

fn write_host(db: &Connection, host: &SavedHost) -> Result<Written, StoreError> {
    let facts = host.facts.as_ref().map(|facts| encode("host facts", facts)).transpose()?;
    Ok(run(
        db,
        "INSERT OR REPLACE INTO host(host, datacenter, state, last_seen, aggregator, stream, facts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            host.tag.host,
            host.tag.datacenter,
            host.state,
            host.last_seen.0,
            host.aggregator,
            host.stream.0.as_slice(),
            facts
        ],
    ))
}

fn write_check(db: &Connection, host: &str, check: &CheckState) -> Result<Written, StoreError> {
    let body = encode("check", check)?;
    Ok(run(
        db,
        "INSERT OR REPLACE INTO chk(host, id, instance, body) VALUES (?1, ?2, ?3, ?4)",
        params![host, check.id, check.instance, body],
    ))
}

fn write_gap(db: &Connection, host: &str, gap: &Gap) -> Result<Written, StoreError> {
    let body = encode("gap", gap)?;
    let inserted = run(
        db,
        "INSERT OR IGNORE INTO gap(host, stream, lane, first, last, why, at, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            host,
            gap.stream.0.as_slice(),
            gap.lane as u8,
            gap.from.0.cast_signed(),
            gap.to.0.cast_signed(),
            gap.why,
            gap.at.0,
            body
        ],
    );
    let trimmed = |()| {
        run(db, "DELETE FROM gap WHERE id <= (SELECT max(id) FROM gap) - ?1", params![GAPS_MAX])
    };
    Ok(inserted.and_then(trimmed))
}

fn encode(what: &'static str, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_cbor::to_vec(value).map_err(|source| StoreError::Encode { what, source: source.into() })
}

/// Reads all hosts, checks and gaps.
pub(super) fn load_all(db: &Connection) -> Result<Saved, rusqlite::Error> {
    let mut saved = Saved::default();
    let mut select = db.prepare(
        "SELECT host, datacenter, state, last_seen, aggregator, stream, facts FROM host ORDER BY host",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let facts: Option<Vec<u8>> = row.get(6)?;
        let stream: Vec<u8> = row.get(5)?;
        saved.hosts.push(SavedHost {
            tag: HostTag { host: row.get(0)?, datacenter: row.get(1)? },
            state: row.get(2)?,
            last_seen: Utc(row.get(3)?),
            aggregator: row.get(4)?,
            stream: StreamId(stream.try_into().unwrap_or_default()),
            facts: facts.and_then(|bytes| decode(&bytes, &mut saved.unreadable)),
        });
    }
    let checks = "SELECT host, body FROM chk ORDER BY host, id, instance";
    saved.checks = load(db, checks, &mut saved.unreadable)?;
    saved.gaps = load(db, "SELECT host, body FROM gap ORDER BY id", &mut saved.unreadable)?;
    Ok(saved)
}

fn load<T: DeserializeOwned>(
    db: &Connection,
    sql: &str,
    unreadable: &mut u64,
) -> Result<Vec<(String, T)>, rusqlite::Error> {
    let mut select = db.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let body: Vec<u8> = row.get(1)?;
        if let Some(value) = decode(&body, unreadable) {
            found.push((row.get(0)?, value));
        }
    }
    Ok(found)
}

fn decode<T: DeserializeOwned>(bytes: &[u8], unreadable: &mut u64) -> Option<T> {
    let value = serde_cbor::from_slice(bytes).ok();
    *unreadable += u64::from(value.is_none());
    value
}
