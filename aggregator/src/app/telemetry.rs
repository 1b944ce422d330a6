//! The stores as the API asks them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::api::rooms::Searched;
use crate::api::rows::{LogRow, Number, SeriesRow, Stamp};
use crate::api::{LogAsk, Search, SeriesAsk, Telemetry, TelemetryError};
use crate::stores::StoreError;
use crate::stores::logs::{Budget, LogHit, LogQuery, LogStore, Order, Truncated};
use crate::stores::metrics::{MetricStore, RangeQuery, Selector, SeriesLast, SeriesRange};

/// Text one question may look through. Bytes.
const SCAN_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Found lines of one question that wait for their turn. Bytes.
const MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Logs and series, for the API.
pub(super) struct StoreTelemetry {
    pub(super) logs: LogStore,
    pub(super) metrics: MetricStore,
}

impl Telemetry for StoreTelemetry {
    fn search_logs(
        &self,
        ask: &LogAsk,
        search: &Search,
        out: &mut dyn FnMut(LogRow) -> ControlFlow<()>,
    ) -> Result<Searched, TelemetryError> {
        let stop = || {
            if search.is_cancelled() {
                Some(Truncated::Cancelled)
            } else {
                search.is_late().then_some(Truncated::Deadline)
            }
        };
        let budget = Budget {
            scan_bytes_max: SCAN_BYTES_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
            stop: &stop,
        };
        let end = self.logs.search(&query_of(ask), &budget, &mut |hit| out(row_of(hit)));
        let end = end.map_err(told)?;
        let damaged = (!end.damaged.is_empty()).then(|| "damaged files".to_owned());
        let truncated = end.truncated.map(|why| truncation(why).to_owned()).or(damaged);
        Ok(Searched { scanned_bytes: end.scanned_bytes, truncated })
    }

    fn series(&self, ask: &SeriesAsk, search: &Search) -> Result<Vec<SeriesRow>, TelemetryError> {
        let mut rows = Vec::new();
        for text in &ask.queries {
            let selector = Selector::parse(text)
                .map_err(|error| TelemetryError::Question(format!("`{text}`: {error}")))?;
            match ask.range {
                None => rows.extend(self.metrics.last(&selector).into_iter().map(last_row)),
                Some(range) => {
                    let step = std::time::Duration::from_micros(range.step_us);
                    let query = RangeQuery { since: range.since, until: range.until, step };
                    let found = self.metrics.range(&selector, query).map_err(told)?;
                    rows.extend(found.into_iter().map(range_row));
                }
            }
            if search.is_late() || search.is_cancelled() {
                return Err(TelemetryError::TooMuch("the question took too long".into()));
            }
        }
        Ok(rows)
    }
}

fn query_of(ask: &LogAsk) -> LogQuery {
    let (substring, regex) =
        if ask.regex { (None, ask.text.clone()) } else { (ask.text.clone(), None) };
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
        regex,
        order: if ask.oldest_first { Order::Oldest } else { Order::Newest },
        ..LogQuery::default()
    }
}

fn row_of(hit: LogHit) -> LogRow {
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

fn labels_of(pairs: Vec<(String, String)>) -> BTreeMap<String, String> {
    pairs.into_iter().collect()
}

fn last_row(last: SeriesLast) -> SeriesRow {
    SeriesRow {
        name: last.series.name,
        kind: last.series.kind,
        host: last.host,
        datacenter: last.datacenter,
        labels: labels_of(last.series.labels),
        time: Some(Stamp(last.at)),
        value: Some(Number(last.value)),
        points: Vec::new(),
    }
}

fn range_row(range: SeriesRange) -> SeriesRow {
    let points = range.points.into_iter().map(|(at, value)| (Stamp(at), Number(value)));
    SeriesRow {
        name: range.series.name,
        kind: range.series.kind,
        host: range.host,
        datacenter: range.datacenter,
        labels: labels_of(range.series.labels),
        time: None,
        value: None,
        points: points.collect(),
    }
}

fn told(error: StoreError) -> TelemetryError {
    match error {
        StoreError::Question { .. } => {
            TelemetryError::Question(muster_proto::errors::chain(&error))
        }
        StoreError::TooMuch { .. } => TelemetryError::TooMuch(error.to_string()),
        other => TelemetryError::Store(Box::new(other)),
    }
}

fn truncation(why: Truncated) -> &'static str {
    match why {
        Truncated::Bytes => "bytes",
        Truncated::Memory => "memory",
        Truncated::Deadline => "time",
        Truncated::Cancelled => "cancelled",
    }
}
