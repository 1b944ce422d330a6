//! Opening SQLite files the way all stores do: WAL, synchronous=FULL, 16 KiB pages, a known schema.
//!
//! Room: `stores`.  May use: nobody.  Used by: all stores.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;

/// How long a connection waits for another one's lock.
const BUSY: Duration = Duration::from_secs(10);

/// Numbered, forward-only steps of a schema; step `n` brings a file from version `n` to `n + 1`.
pub(super) struct Schema {
    pub(super) steps: &'static [&'static str],
}

/// Opens a file for writing, makes it when it is not there, and brings its schema up to date.
///
/// # Errors
/// [`StoreError::Sqlite`]; [`StoreError::Schema`] when a newer Muster wrote it.
pub(super) fn open_writer(file: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    let is_new = !file.exists();
    let mut db = Connection::open(file).map_err(StoreError::sqlite(file))?;
    settle(&db, is_new).map_err(StoreError::sqlite(file))?;
    migrate(&mut db, file, schema)?;
    if is_new && let Some(folder) = file.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))?;
    }
    Ok(db)
}

fn settle(db: &Connection, is_new: bool) -> Result<(), rusqlite::Error> {
    db.busy_timeout(BUSY)?;
    if is_new {
        db.pragma_update(None, "page_size", 16_384)?;
    }
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "cache_size", -8_192)
}

fn migrate(db: &mut Connection, file: &Path, schema: &Schema) -> Result<(), StoreError> {
    let sqlite = StoreError::sqlite(file);
    let known = schema.steps.len() as u32;
    let found: u32 = match db.pragma_query_value(None, "user_version", |row| row.get(0)) {
        Ok(found) => found,
        Err(error) => return Err(sqlite(error)),
    };
    if found > known {
        return Err(StoreError::Schema { file: file.to_path_buf(), found, known });
    }
    if found == known {
        return Ok(());
    }
    let run = |db: &mut Connection| {
        let change = db.transaction()?;
        for step in &schema.steps[found as usize..] {
            change.execute_batch(step)?;
        }
        change.pragma_update(None, "user_version", known)?;
        change.commit()
    };
    run(db).map_err(sqlite)
}

/// Opens a file only to read it; it does not hold up the writer.
///
/// # Errors
/// [`StoreError::Sqlite`], also when the file is not there.
pub(super) fn open_reader(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let db = Connection::open_with_flags(file, flags)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "cache_size", -2_048)?;
        Ok(db)
    };
    open().map_err(StoreError::sqlite(file))
}

/// What `PRAGMA quick_check` finds wrong with a file; `None` when it is whole.
///
/// # Errors
/// Whatever is not damage: no permission, no memory.
pub(super) fn quick_check(file: &Path) -> Result<Option<String>, StoreError> {
    let check =
        |db: &Connection| db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    let answer = open_reader(file).and_then(|db| check(&db).map_err(StoreError::sqlite(file)));
    match answer {
        Ok(word) if word == "ok" => Ok(None),
        Ok(word) => Ok(Some(word)),
        Err(error) if error.is_damage() => {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            Ok(Some(why.unwrap_or_default()))
        }
        Err(error) => Err(error),
    }
}

/// True when the error says that the file's content is bad.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// True when the error says that the file is not there (any more).
pub(super) fn is_absent(error: &StoreError) -> bool {
    matches!(error, StoreError::Sqlite { source, .. }
        if source.sqlite_error_code() == Some(ErrorCode::CannotOpen))
}
