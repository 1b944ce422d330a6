//! Days that go: by age, by size, and when the disk is nearly full.
//!
//! Room: `stores/logs`.  May use: `proto`.  Used by: `logs`.

use muster_proto::clock::Utc;

use super::LogStore;
use crate::stores::StoreError;
use crate::stores::day::Day;
use crate::stores::retention::{Gone, Keep, Removed, decide_removals, remove};
use crate::stores::sealed::lock;

impl LogStore {
    /// Removes day files that are too old or too many. `keep` says what a class keeps.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what was removed before it stays removed.
    pub fn retain(
        &self,
        now: Utc,
        keep: &dyn Fn(&str) -> Keep,
    ) -> Result<Vec<Removed>, StoreError> {
        let _writer = lock(&self.inner.writer);
        let mut removed = Vec::new();
        for class in self.classes()? {
            let days = self.days(&class)?;
            remove(&class, decide_removals(&days, keep(&class), Day::of(now)), &mut removed)?;
        }
        Ok(removed)
    }

    /// The oldest day any class has, if it is not today's: what goes first when the disk fills.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn oldest_day(&self, now: Utc) -> Result<Option<Day>, StoreError> {
        let oldest = self.files(|_| true)?.into_iter().map(|file| file.day).min();
        Ok(oldest.filter(|day| *day < Day::of(now)))
    }

    /// Removes one day of every class, because the disk is nearly full.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn drop_day(&self, day: Day) -> Result<Vec<Removed>, StoreError> {
        let _writer = lock(&self.inner.writer);
        let mut removed = Vec::new();
        for class in self.classes()? {
            let days = self.days(&class)?.into_iter().filter(|file| file.day == day);
            remove(&class, days.map(|file| (file, Gone::Room)).collect(), &mut removed)?;
        }
        Ok(removed)
    }
}
