//! The stores, as the API asks them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use super::ask::{LogAsk, RangeAsk, SeriesAsk};
use super::rooms::{Search, Searched, Telemetry, TelemetryError};
use super::rows::{LogRow, Number, SeriesRow, Stamp};
use crate::stores::StoreError;
use crate::stores::logs::{Budget, LogHit, LogQuery, LogStore, Order, Truncated};
use crate::stores::metrics::{MetricStore, RangeQuery, Selector, SeriesLast, SeriesRange};

/// Text one search may look through. Bytes; about ten seconds of work.
const SCAN_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Lines that wait for their turn in one search. Bytes.
const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Series of one answer, last values.
const SERIES_MAX: usize = 1_000_000;

/// The log store and the metric store.
#[derive(Clone)]
pub struct Stored {
    /// Log lines.
    pub logs: LogStore,
    /// Series.
    pub metrics: MetricStore,
}

impl Telemetry for Stored {
    fn search_logs(
        &self,
        ask: &LogAsk,
        search: &Search,
        out: &mut dyn FnMut(LogRow) -> ControlFlow<()>,
    ) -> Result<Searched, TelemetryError> {
        let stop = || match (search.is_cancelled(), search.is_late()) {
            (true, _) => Some(Truncated::Cancelled),
            (false, true) => Some(Truncated::Deadline),
            (false, false) => None,
        };
        let budget = Budget {
            scan_bytes_max: SCAN_BYTES_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
            stop: &stop,
        };
        let end = self
            .logs
            .search(&to_query(ask), &budget, &mut |hit| out(to_row(hit)))
            .map_err(to_error)?;
        let why = end.truncated.map(|why| match why {
            Truncated::Bytes => "bytes",
            Truncated::Memory => "memory",
            Truncated::Deadline => "time",
            Truncated::Cancelled => "cancelled",
        });
        let why = why.or((!end.damaged.is_empty()).then_some("damaged files"));
        Ok(Searched { scanned_bytes: end.scanned_bytes, truncated: why.map(str::to_owned) })
    }

    fn series(&self, ask: &SeriesAsk, search: &Search) -> Result<Vec<SeriesRow>, TelemetryError> {
        let mut rows = Vec::new();
        let mut seen = BTreeSet::new();
        for query in &ask.queries {
            let selector = Selector::parse(query)
                .map_err(|error| TelemetryError::Question(error.to_string()))?;
            if search.is_cancelled() || search.is_late() {
                return Err(TelemetryError::TooMuch(
                    "the answer takes too long; ask for less".to_owned(),
                ));
            }
            let found = match &ask.range {
                None => self.metrics.last(&selector).into_iter().map(last_row).collect(),
                Some(range) => self.range(&selector, range)?,
            };
            // Two selectors may want the same series; it stands once.
            let is_new = |row: &SeriesRow| {
                ask.queries.len() == 1
                    || seen.insert((row.host.clone(), row.name.clone(), row.labels.clone()))
            };
            rows.extend(found.into_iter().filter(is_new));
            if rows.len() > SERIES_MAX {
                return Err(TelemetryError::TooMuch(format!(
                    "more than {SERIES_MAX} series; ask for less"
                )));
            }
        }
        Ok(rows)
    }
}

impl Stored {
    fn range(
        &self,
        selector: &Selector,
        range: &RangeAsk,
    ) -> Result<Vec<SeriesRow>, TelemetryError> {
        let step = Duration::from_micros(range.step_us);
        let query = RangeQuery { since: range.since, until: range.until, step };
        let found = self.metrics.range(selector, query).map_err(to_error)?;
        Ok(found.into_iter().map(range_row).collect())
    }
}

/// Classes are asked for, but who may read them is decided line by line by the API; so is the limit, because
/// lines that may not be read do not count.
fn to_query(ask: &LogAsk) -> LogQuery {
    let (substring, regex) = match (&ask.text, ask.regex) {
        (Some(text), true) if ask.any_case => (None, Some(format!("(?i:{text})"))),
        (Some(text), true) => (None, Some(text.clone())),
        (text, _) => (text.clone(), None),
    };
    LogQuery {
        since: ask.since,
        until: ask.until,
        hosts: ask.hosts.clone(),
        datacenters: ask.datacenters.clone(),
        classes: (!ask.classes.is_empty()).then(|| ask.classes.clone()),
        severity_max: ask.severity,
        programs: ask.programs.clone(),
        sources: ask.sources.clone(),
        substring,
        any_case: ask.any_case,
        whole_words: false,
        regex,
        limit: if ask.granted == super::Granted::All { ask.limit } else { 0 },
        order: if ask.oldest_first { Order::Oldest } else { Order::Newest },
        after: None,
    }
}

fn to_row(hit: LogHit) -> LogRow {
    LogRow {
        at: hit.at,
        host: hit.source.host.to_string(),
        datacenter: hit.source.datacenter.to_string(),
        class: hit.source.class.to_string(),
        source: hit.source.name.to_string(),
        program: hit.source.program.to_string(),
        severity: hit.severity,
        text: hit.text,
        stream: hit.stream,
        seq: hit.seq,
        index: hit.index,
    }
}

fn last_row(last: SeriesLast) -> SeriesRow {
    SeriesRow {
        name: last.series.name,
        kind: last.series.kind,
        host: last.host,
        datacenter: last.datacenter,
        labels: last.series.labels.into_iter().collect(),
        time: Some(Stamp(last.at)),
        value: Some(Number(last.value)),
        points: Vec::new(),
    }
}

fn range_row(range: SeriesRange) -> SeriesRow {
    SeriesRow {
        name: range.series.name,
        kind: range.series.kind,
        host: range.host,
        datacenter: range.datacenter,
        labels: range.series.labels.into_iter().collect(),
        time: None,
        value: None,
        points: range.points.into_iter().map(|(at, value)| (Stamp(at), Number(value))).collect(),
    }
}

fn to_error(error: StoreError) -> TelemetryError {
    match error {
        StoreError::Question { ref source, .. } => {
            TelemetryError::Question(format!("{error}: {source}"))
        }
        StoreError::TooMuch { .. } => TelemetryError::TooMuch(error.to_string()),
        other => TelemetryError::Store(other.into()),
    }
}
