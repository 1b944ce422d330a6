//! What the two stores that seal have in common: bad files are moved aside, frames wait for a seal.
//!
//! Room: `stores`.  May use: nobody.  Used by: the log and metric stores.
//!
//! Absent on purpose: heads and blocks. What a store holds in memory and how it writes a part is its
//! own; here is only what must not differ between the two.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ledger::Ledger;
use super::{Damage, StoreError, day, sqlite};

/// A poisoned lock means a bug elsewhere; what it guards is replaced whole, so it is still good.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files that are in doubt, and those that were moved aside.
#[derive(Default)]
pub(super) struct Sickbay {
    suspects: Mutex<Vec<PathBuf>>,
    damages: Mutex<Vec<Damage>>,
}

impl Sickbay {
    /// Notes files that a reader could not read; they are checked at the next seal.
    pub(super) fn suspect(&self, files: impl IntoIterator<Item = PathBuf>) {
        lock(&self.suspects).extend(files);
    }

    /// Checks the files that readers complained about.
    ///
    /// # Errors
    /// As [`Sickbay::mend`].
    pub(super) fn mend_suspects(&self) -> Result<(), StoreError> {
        let mut suspects = std::mem::take(&mut *lock(&self.suspects));
        suspects.sort();
        suspects.dedup();
        suspects.iter().filter(|file| file.exists()).try_for_each(|file| self.mend(file))
    }

    /// Moves a file aside if it is damaged.
    ///
    /// # Errors
    /// [`StoreError`]: it can be neither checked nor moved. Damage is not an error.
    pub(super) fn mend(&self, file: &Path) -> Result<(), StoreError> {
        match sqlite::quick_check(file)? {
            None => Ok(()),
            Some(why) => self.set_aside(file, &why),
        }
    }

    /// Writes into `file`; if it turns out to be damaged, moves it aside and writes a new one.
    ///
    /// # Errors
    /// What `write` says of a file that is not damaged, or of the new one.
    pub(super) fn write<T>(
        &self,
        file: &Path,
        mut write: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match write() {
            Err(error) if error.is_damage() => {
                self.set_aside(file, &error.to_string())?;
                write()
            }
            other => other,
        }
    }

    /// Files that were moved aside since the last call.
    pub(super) fn damages(&self) -> Vec<Damage> {
        std::mem::take(&mut *lock(&self.damages))
    }

    fn set_aside(&self, file: &Path, why: &str) -> Result<(), StoreError> {
        let moved_to = day::set_aside(file).map_err(StoreError::io(file))?;
        let damage = Damage { file: file.to_path_buf(), moved_to, why: why.to_string() };
        lock(&self.damages).push(damage);
        Ok(())
    }
}

/// What must happen before a frame is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// Nothing.
    Take,
    /// The range that a crash cut short: the spool has nothing more of it.
    Seal,
}

/// Decides whether a frame may be taken into a head of `bytes`, whose seal is due at `due_bytes`.
///
/// # Errors
/// [`StoreError::HeadFull`] at twice `due_bytes`. A range under way is always taken whole.
pub(super) fn admit(
    ledger: &Ledger,
    spool_seq: u64,
    bytes: u64,
    due_bytes: u64,
) -> Result<First, StoreError> {
    match ledger.under_way() {
        Some(range) if spool_seq > range.last => Ok(First::Seal),
        Some(_) => Ok(First::Take),
        None => {
            let limit = due_bytes.saturating_mul(2);
            if bytes > limit { Err(StoreError::HeadFull { bytes, limit }) } else { Ok(First::Take) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Range;
    use super::*;

    #[test]
    fn a_range_under_way_comes_before_everything_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), [1; 16]).unwrap();
        assert_eq!(admit(&ledger, 1, 20, 10).unwrap(), First::Take);
        assert!(matches!(admit(&ledger, 1, 21, 10), Err(StoreError::HeadFull { limit: 20, .. })));
        ledger.begin(Range { first: 1, last: 5 }).unwrap();
        assert_eq!(admit(&ledger, 5, 21, 10).unwrap(), First::Take);
        assert_eq!(admit(&ledger, 6, 21, 10).unwrap(), First::Seal);
    }

    #[test]
    fn a_damaged_file_is_written_anew_and_told_of_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("20261121.db");
        std::fs::write(&file, b"x").unwrap();
        let sickbay = Sickbay::default();
        let mut tries = 0;
        let written = sickbay.write(&file, || {
            tries += 1;
            let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            let source = rusqlite::Error::SqliteFailure(corrupt, None);
            if tries == 1 { Err(StoreError::sqlite(&file)(source)) } else { Ok(tries) }
        });
        assert_eq!(written.unwrap(), 2);
        assert!(!file.exists());
        assert_eq!(sickbay.damages().len(), 1);
        assert_eq!(sickbay.damages(), []);
    }
}
