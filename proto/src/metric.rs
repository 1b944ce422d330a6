//! Metric frames: a dict with the series and their base values, and scrapes as differences to it.
//!
//! A sample costs a bit or two when it is what the base says, and about as many bytes as its
//! difference has digits otherwise. Every f64 comes back with the bits it had.
//!
//! # Dict
//!
//! ```text
//! varint          series, at most SERIES_MAX
//! per series      kind u8 (0 counter, 1 gauge, 2 untyped)
//!                 name: varint length, UTF-8, at most NAME_BYTES_MAX
//!                 labels: varint count, at most LABELS_MAX; each a name and a value, written as the
//!                 series' name is; sorted by name, no name twice
//! per series      base value, f64 little-endian
//! ```
//!
//! # Scrapes
//!
//! ```text
//! varint          scrapes, at most SCRAPES_MAX; scrapes × series at most FRAME_RECORDS_MAX
//! per scrape      time: zigzag varint, microseconds after the scrape before (the first: after 1970)
//! per scrape      states of all series, in runs: state u8, varint length. The lengths sum up to the
//!                 number of series
//! per changed     zigzag varint, in the order of scrapes, then series
//! per raw         f64 little-endian, in the same order
//! ```
//!
//! Each column remembers a *reference* (the last value in this frame; before that the base) and a
//! *unit*: the reference is a whole number of units. States:
//!
//! ```text
//! 0        as the reference, bit for bit
//! 1        changed: the difference to the reference, in the column's unit
//! 2        absent: the series has no value; the reference stays
//! 3        raw: all 8 bytes; the unit becomes the one that fits them
//! 4 + u    changed, and from here the column's unit is u: 0..=9 = 10^-u, 10 = 512, 11 = 1024,
//!          12 = 4096
//! ```
//!
//! A unit fits a value when the value is a whole number of them, below 2^53; the column's unit at
//! the beginning is the coarsest that fits the base. Dividing a whole number by a power of ten gives
//! the same f64 as reading its decimal digits, so values that were decimal once come back exactly.
//! The writer does what the reader will do and takes *raw* when the bits differ.
//!
//! Nothing follows the last section. All integers are little-endian base 128 varints of at most 64
//! bits, in their shortest form or not. Written by the agent, read by whoever has the dict.

mod dict;
mod scrapes;
mod unit;
mod varint;

use serde::{Deserialize, Serialize};

use crate::clock::Utc;

pub use dict::{encode_dict, parse_dict};
pub use scrapes::{encode_scrapes, parse_scrapes, scrapes_per_frame};

/// Prometheus' types, as far as node_exporter's names use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// Only goes up, but for restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// node_exporter does not say (netstat, vmstat).
    Untyped,
}

/// One time series of one host. Labels are sorted by name; the host is not among them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Series {
    /// Metric name, e.g. `node_load1`.
    pub name: String,
    /// Its type.
    pub kind: MetricType,
    /// Label names and values, sorted by name.
    pub labels: Vec<(String, String)>,
}

/// What metric frames of one stream refer to by number.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dict {
    /// The series, in the order of the value columns.
    pub series: Vec<Series>,
    /// A value for each series; scrapes are encoded as differences to it.
    pub base: Vec<f64>,
}

/// All values of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrape {
    /// When they were read.
    pub at: Utc,
    /// One for each series of the dict; `None` = the series had no value this time.
    pub values: Vec<Option<f64>>,
}

/// Why bytes are not a dict, or not scrapes of this dict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// The bytes end in the middle.
    #[error("metric body is cut short in {0}")]
    Short(&'static str),
    /// A count or length is over its limit.
    #[error("metric body has {value} {what}, over the limit of {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many.
        value: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// A byte or number has no meaning here.
    #[error("metric body has an unknown {0}")]
    Unknown(&'static str),
    /// A name or label is not UTF-8.
    #[error("metric name is not UTF-8")]
    NotUtf8,
    /// Labels are not sorted, or there are two of one name.
    #[error("labels of {0} are not sorted")]
    Unsorted(String),
    /// Bytes follow the end.
    #[error("metric body goes on after its end")]
    Trailing,
}
