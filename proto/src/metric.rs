//! Metric frames: a dict with the series and their base values, and scrapes as differences to it.

use serde::{Deserialize, Serialize};

use crate::clock::Utc;

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
