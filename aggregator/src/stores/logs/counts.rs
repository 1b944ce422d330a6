//! How many lines there are, minute by minute, without reading them.
//!
//! Room: `stores/logs`.  May use: `proto`.  Used by: `logs`.

use std::collections::BTreeMap;

use muster_proto::clock::Utc;

use super::LogStore;
use super::file::DayReader;
use crate::stores::StoreError;
use crate::stores::day::Day;

/// Lines in one minute and severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogCount {
    /// When the minute begins.
    pub at: Utc,
    /// Severity, 0 the worst.
    pub severity: u8,
    /// Lines.
    pub lines: u64,
}

impl LogStore {
    /// Lines per minute and severity, in order, without reading blocks.
    ///
    /// # Errors
    /// [`StoreError`] about a file; unlike a search this does not go on without it.
    pub fn counts(
        &self,
        since: Utc,
        until: Utc,
        classes: Option<&[String]>,
    ) -> Result<Vec<LogCount>, StoreError> {
        const MINUTE_US: i64 = 60_000_000;
        let wants = |class: &str| classes.is_none_or(|list| list.iter().any(|name| name == class));
        let (head, horizon) = self.snapshot();
        let first = since.0.div_euclid(MINUTE_US);
        let last = until.0.saturating_sub(1).div_euclid(MINUTE_US);
        let mut counts: BTreeMap<(i64, u8), u64> = BTreeMap::new();
        for frame in head {
            for (line, at) in frame.lines.at.iter().enumerate() {
                let minute = at.div_euclid(MINUTE_US);
                let source = &frame.sources[frame.lines.source[line] as usize];
                if (first..=last).contains(&minute) && wants(&source.class) {
                    *counts.entry((minute, frame.lines.severity[line])).or_default() += 1;
                }
            }
        }
        for file in self.files(wants)? {
            if file.day < Day::of(since) || file.day > Day::of(until) {
                continue;
            }
            let reader = DayReader::open(&file.path, &horizon)?;
            let mut add = |minute, severity, lines| {
                *counts.entry((minute, severity)).or_default() += lines;
            };
            reader.counts(first, last, &mut add).map_err(StoreError::sqlite(&file.path))?;
        }
        let count =
            |((minute, severity), lines)| LogCount { at: Utc(minute * MINUTE_US), severity, lines };
        Ok(counts.into_iter().map(count).collect())
    }
}
