//! Values over time: gathers samples from day files and the head, merges them, takes steps.
//!
//! Room: `stores/metrics`.  May use: `proto`.  Used by: `metrics`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::metric::Series;

use super::block::{Block, GROUP_SERIES};
use super::file::{BlockFacts, DayReader};
use super::head::HostHead;
use super::selector::Selector;
use crate::stores::day::Day;
use crate::stores::{StoreError, sqlite};

/// How old a value may be and still stand for a step. As in Prometheus.
const LOOKBACK: Duration = Duration::from_secs(300);
/// Series in one answer.
const SERIES_MAX: u64 = 50_000;
/// Samples that are gathered for one answer. 16 bytes each.
const SAMPLES_MAX: u64 = 8_000_000;
/// Steps of one answer. As in Prometheus.
const STEPS_MAX: u64 = 11_000;

/// Which moments are wanted; both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeQuery {
    /// First moment.
    pub since: Utc,
    /// Last moment.
    pub until: Utc,
    /// Time between points: each is the newest value of at most five minutes before it.
    /// Zero = every sample at its own time.
    pub step: Duration,
}

/// One series over time.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesRange {
    /// Host it is of.
    pub host: String,
    /// Where the host stands.
    pub datacenter: String,
    /// Name, type and labels; the host is not among them.
    pub series: Series,
    /// Points in the order of time, no time twice.
    pub points: Vec<(Utc, f64)>,
}

type Samples = Vec<(i64, f64)>;

/// An answer that is being gathered.
pub(super) struct Gather<'a> {
    selector: &'a Selector,
    query: RangeQuery,
    first: i64,
    last: i64,
    hosts: HashMap<(String, String), HashMap<Series, Samples>>,
    series: u64,
    samples: u64,
}

impl<'a> Gather<'a> {
    pub(super) fn new(selector: &'a Selector, query: RangeQuery) -> Result<Gather<'a>, StoreError> {
        let step_us = query.step.as_micros();
        if step_us > 0
            && query.until.since(query.since).as_micros() / step_us >= u128::from(STEPS_MAX)
        {
            return Err(StoreError::TooMuch { what: "steps", limit: STEPS_MAX });
        }
        let first = if step_us == 0 { query.since } else { query.since.before(LOOKBACK) };
        let (first, last) = (first.0, query.until.0);
        Ok(Gather { selector, query, first, last, hosts: HashMap::new(), series: 0, samples: 0 })
    }

    pub(super) fn wants_day(&self, day: Day) -> bool {
        day.start().0 <= self.last && day.end().0 >= self.first
    }

    /// Adds the samples of a day file. `false` when the file or a block of it is damaged.
    pub(super) fn add_file(
        &mut self,
        path: &Path,
        horizon: (&[u8; 16], u64),
    ) -> Result<bool, StoreError> {
        let opened = DayReader::open(path).and_then(|reader| {
            let blocks = reader.blocks((self.first, self.last), horizon);
            Ok((blocks.map_err(StoreError::sqlite(path))?, reader))
        });
        let (blocks, reader) = match opened {
            Ok(opened) => opened,
            Err(error) if sqlite::is_absent(&error) && !path.exists() => return Ok(true),
            Err(error) if error.is_damage() => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut tables: HashMap<i64, Vec<(usize, Series)>> = HashMap::new();
        let mut is_whole = true;
        for block in blocks {
            if !self.selector.wants_host(&block.host, &block.datacenter) {
                continue;
            }
            match self.add_block(&reader, &block, &mut tables) {
                Ok(()) => self.check_limits()?,
                Err(_) => is_whole = false,
            }
        }
        Ok(is_whole)
    }

    fn add_block(
        &mut self,
        reader: &DayReader,
        facts: &BlockFacts,
        tables: &mut HashMap<i64, Vec<(usize, Series)>>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let wanted = match tables.entry(facts.series) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                let all = reader.series(facts.series)?.into_iter().enumerate();
                let wanted = all.filter(|(_, series)| self.selector.wants_series(series));
                free.insert(wanted.collect())
            }
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let body = reader.body(facts.id)?;
        let block = Block::parse(&body)?;
        let mut group: Option<(usize, Vec<super::block::Column>)> = None;
        for (number, series) in &*wanted {
            let of = number / GROUP_SERIES;
            if group.as_ref().is_none_or(|(known, _)| *known != of) {
                group = Some((of, block.group(of)?));
            }
            let column = group.as_ref().and_then(|(_, columns)| columns.get(number % GROUP_SERIES));
            let values = column.into_iter().flatten().copied();
            self.add(
                &facts.host,
                &facts.datacenter,
                series,
                block.times.iter().copied().zip(values),
            );
        }
        Ok(())
    }

    /// Adds the samples of a host's head.
    pub(super) fn add_head(&mut self, host: &HostHead) -> Result<(), StoreError> {
        if !self.selector.wants_host(&host.tag.host, &host.tag.datacenter) {
            return Ok(());
        }
        for chunk in &host.chunks {
            for (number, series) in chunk.dict.series.iter().enumerate() {
                if self.selector.wants_series(series) {
                    let samples = chunk.rows.iter().map(|row| (row.at, row.value(number)));
                    self.add(&host.tag.host, &host.tag.datacenter, series, samples);
                }
            }
            self.check_limits()?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        host: &str,
        datacenter: &str,
        series: &Series,
        samples: impl Iterator<Item = (i64, Option<f64>)>,
    ) {
        let of_host = self.hosts.entry((host.to_string(), datacenter.to_string())).or_default();
        if !of_host.contains_key(series) {
            self.series += 1;
            of_host.insert(series.clone(), Vec::new());
        }
        let Some(kept) = of_host.get_mut(series) else { return };
        let before = kept.len();
        kept.extend(samples.filter_map(|(at, value)| {
            value.filter(|_| at >= self.first && at <= self.last).map(|value| (at, value))
        }));
        self.samples += (kept.len() - before) as u64;
    }

    fn check_limits(&self) -> Result<(), StoreError> {
        let over = |what, value, limit| {
            if value > limit { Err(StoreError::TooMuch { what, limit }) } else { Ok(()) }
        };
        over("series", self.series, SERIES_MAX)?;
        over("samples", self.samples, SAMPLES_MAX)
    }

    pub(super) fn finish(self) -> Vec<SeriesRange> {
        let mut answer = Vec::new();
        for ((host, datacenter), all) in self.hosts {
            for (series, mut samples) in all {
                samples.sort_by_key(|(at, _)| *at);
                samples.dedup_by_key(|(at, _)| *at);
                let points = take_steps(&samples, self.query);
                if !points.is_empty() {
                    let (host, datacenter) = (host.clone(), datacenter.clone());
                    answer.push(SeriesRange { host, datacenter, series, points });
                }
            }
        }
        answer.sort_by(|a, b| {
            let key = |range: &'_ SeriesRange| {
                (range.host.clone(), range.series.name.clone(), range.series.labels.clone())
            };
            key(a).cmp(&key(b))
        });
        answer
    }
}

fn take_steps(samples: &[(i64, f64)], query: RangeQuery) -> Vec<(Utc, f64)> {
    if query.step.is_zero() {
        return samples.iter().map(|(at, value)| (Utc(*at), *value)).collect();
    }
    let mut points = Vec::new();
    let mut at = query.since;
    while at <= query.until {
        let after = samples.partition_point(|(time, _)| *time <= at.0);
        if let Some((time, value)) = after.checked_sub(1).map(|newest| samples[newest])
            && time > at.before(LOOKBACK).0
        {
            points.push((at, value));
        }
        at = at.after(query.step);
    }
    points
}
