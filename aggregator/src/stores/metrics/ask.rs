//! Questions: the latest values, and values over time.
//!
//! Room: `stores/metrics`.  May use: `proto`.  Used by: `metrics`.

use muster_proto::clock::Utc;
use muster_proto::metric::Series;

use super::MetricStore;
use super::range::{Gather, RangeQuery, SeriesRange};
use super::selector::Selector;
use crate::stores::StoreError;
use crate::stores::sealed::lock;

/// The latest value of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesLast {
    /// Host it is of.
    pub host: String,
    /// Where the host stands.
    pub datacenter: String,
    /// Name, type and labels; the host is not among them.
    pub series: Series,
    /// When it was read.
    pub at: Utc,
    /// What it was.
    pub value: f64,
}

impl MetricStore {
    /// The latest values of the wanted series, by host. After a restart hosts come back with their
    /// next scrape.
    pub fn last(&self, selector: &Selector) -> Vec<SeriesLast> {
        let mut hosts: Vec<_> = lock(&self.inner.head).hosts.values().cloned().collect();
        hosts.retain(|host| selector.wants_host(&host.tag.host, &host.tag.datacenter));
        hosts.sort_by(|a, b| a.tag.cmp(&b.tag));
        let mut found = Vec::new();
        for host in hosts {
            let Some((dict, row)) = &host.latest else { continue };
            for (number, series) in dict.series.iter().enumerate() {
                if let Some(value) = row.value(number)
                    && selector.wants_series(series)
                {
                    found.push(SeriesLast {
                        host: host.tag.host.clone(),
                        datacenter: host.tag.datacenter.clone(),
                        series: series.clone(),
                        at: Utc(row.at),
                        value,
                    });
                }
            }
        }
        found
    }

    /// The values of the wanted series over time, by host and series.
    ///
    /// # Errors
    /// [`StoreError::TooMuch`] when the answer is over a limit. A damaged file or block is left out
    /// and moved aside at the next seal.
    pub fn range(
        &self,
        selector: &Selector,
        query: RangeQuery,
    ) -> Result<Vec<SeriesRange>, StoreError> {
        let (hosts, upto) = {
            let head = lock(&self.inner.head);
            (head.hosts.values().cloned().collect::<Vec<_>>(), head.upto)
        };
        let mut gather = Gather::new(selector, query)?;
        let mut bad = Vec::new();
        for file in self.days()? {
            if gather.wants_day(file.day) {
                let horizon = (&self.inner.stream, upto);
                if !gather.add_file(&file.path, horizon)? {
                    bad.push(file.path);
                }
            }
        }
        self.inner.sickbay.suspect(bad);
        for host in &hosts {
            gather.add_head(host)?;
        }
        Ok(gather.finish())
    }
}
