//! Dicts: what metric frames refer to by number, kept for ever in `dicts.db`.
//!
//! Room: `stores/metrics`.  May use: `proto`.  Used by: `metrics`.
//!
//! `dict(stream, number, body)`: the frame's body as it came, a zstd frame, with its raw length. A
//! stream keeps its newest [`DICTS_A_STREAM`] dicts: older frames than those are sealed long since.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_proto::frame::{self, Kind};
use muster_proto::ids::StreamId;
use muster_proto::metric::{Dict, parse_dict};
use rusqlite::{Connection, OptionalExtension, params};

use crate::stores::sqlite::{self, Schema};
use crate::stores::{HostTag, StoreError, Taken};

/// Dicts that are kept of one stream.
const DICTS_A_STREAM: i64 = 32;
/// Decoded dicts in memory before those that nobody uses are dropped.
const DICTS_CACHED: usize = 8_192;
/// The same by their raw length. Bytes. A dict of a usual host has about 150 KB.
const DICTS_CACHED_BYTES: u64 = 512 * 1024 * 1024;

const SCHEMA: Schema = Schema {
    steps: &["CREATE TABLE dict(
        stream BLOB NOT NULL, number INTEGER NOT NULL, frame BLOB NOT NULL,
        PRIMARY KEY(stream, number)
    );"],
};

/// All dicts of all streams.
pub(super) struct Dicts {
    db: Connection,
    file: PathBuf,
    known: HashMap<(StreamId, u64), Known>,
    known_bytes: u64,
}

/// A decoded dict, and how long it was before that. Bytes.
struct Known {
    dict: Arc<Dict>,
    raw_bytes: u64,
}

impl Dicts {
    pub(super) fn open(folder: &Path) -> Result<Dicts, StoreError> {
        let file = folder.join("dicts.db");
        let db = sqlite::open_writer(&file, &SCHEMA)?;
        Ok(Dicts { db, file, known: HashMap::new(), known_bytes: 0 })
    }

    /// Keeps a dict frame, durably, unless it is known.
    pub(super) fn take(&mut self, tag: &HostTag, bytes: &[u8]) -> Result<Taken, StoreError> {
        let (header, _) = frame::open(bytes)?;
        let dict = decode(tag, bytes)?;
        let key = params![header.stream.0.as_slice(), header.seq.0.cast_signed()];
        let bytes = &bytes[..header.frame_len()];
        if self.read(header.stream, header.seq.0)?.is_some_and(|known| known == bytes) {
            return Ok(Taken::Repeat);
        }
        let write = |db: &mut Connection| {
            let change = db.transaction()?;
            change.execute("DELETE FROM dict WHERE stream = ?1 AND number = ?2", key)?;
            change.execute(
                "INSERT INTO dict(stream, number, frame) VALUES (?1, ?2, ?3)",
                params![header.stream.0.as_slice(), header.seq.0.cast_signed(), bytes],
            )?;
            change.execute(
                "DELETE FROM dict WHERE stream = ?1 AND number <= ?2",
                params![
                    header.stream.0.as_slice(),
                    header.seq.0.cast_signed().saturating_sub(DICTS_A_STREAM)
                ],
            )?;
            change.commit()
        };
        write(&mut self.db).map_err(StoreError::sqlite(&self.file))?;
        self.remember(header.stream, header.seq.0, dict);
        Ok(Taken::Kept)
    }

    /// The dict of that number; `None` when it has not come.
    pub(super) fn find(
        &mut self,
        tag: &HostTag,
        stream: StreamId,
        number: u64,
    ) -> Result<Option<Arc<Dict>>, StoreError> {
        if let Some(known) = self.known.get(&(stream, number)) {
            return Ok(Some(Arc::clone(&known.dict)));
        }
        let Some(bytes) = self.read(stream, number)? else { return Ok(None) };
        let dict = decode(tag, &bytes)?;
        Ok(Some(self.remember(stream, number, dict)))
    }

    fn read(&self, stream: StreamId, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let read = || {
            self.db
                .prepare_cached("SELECT frame FROM dict WHERE stream = ?1 AND number = ?2")?
                .query_row(params![stream.0.as_slice(), number.cast_signed()], |row| row.get(0))
                .optional()
        };
        read().map_err(StoreError::sqlite(&self.file))
    }

    fn remember(
        &mut self,
        stream: StreamId,
        number: u64,
        (dict, raw_bytes): (Dict, u64),
    ) -> Arc<Dict> {
        if self.known.len() >= DICTS_CACHED || self.known_bytes + raw_bytes > DICTS_CACHED_BYTES {
            self.known.retain(|_, known| Arc::strong_count(&known.dict) > 1);
            self.known_bytes = self.known.values().map(|known| known.raw_bytes).sum();
        }
        let dict = Arc::new(dict);
        let known = Known { dict: Arc::clone(&dict), raw_bytes };
        self.known_bytes += raw_bytes;
        if let Some(old) = self.known.insert((stream, number), known) {
            self.known_bytes -= old.raw_bytes;
        }
        dict
    }
}

/// The dict, and its raw length. Bytes.
fn decode(tag: &HostTag, bytes: &[u8]) -> Result<(Dict, u64), StoreError> {
    let (header, body) = frame::open(bytes)?;
    if header.kind != Kind::Dict {
        let found = format!("{:?}", header.kind).to_lowercase();
        return Err(StoreError::Kind { store: "dict", found });
    }
    let mut raw = Vec::new();
    frame::inflate(&header, body, &mut raw)?;
    let dict = parse_dict(&raw).map_err(|source| StoreError::Body {
        what: "dict",
        host: tag.host.clone(),
        source: source.into(),
    })?;
    Ok((dict, raw.len() as u64))
}
