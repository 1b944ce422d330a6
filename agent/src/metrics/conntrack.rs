//! Connection tracking. Upstream types the counters as gauges; so do we.

use super::{Collector, Given, Memo, Out};
use crate::facts::conntrack;
use crate::host::HostError;

/// The collector.
pub struct Conntrack;

impl Collector for Conntrack {
    fn name(&self) -> &'static str {
        "conntrack"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let table = conntrack::read(given.host)?;
        out.gauge("node_nf_conntrack_entries", &[], table.entries as f64);
        out.gauge("node_nf_conntrack_entries_limit", &[], table.limit as f64);
        let Some(counters) = table.counters else { return Ok(()) };
        for (name, value) in [
            ("node_nf_conntrack_stat_found", counters.found),
            ("node_nf_conntrack_stat_invalid", counters.invalid),
            ("node_nf_conntrack_stat_ignore", counters.ignore),
            ("node_nf_conntrack_stat_insert", counters.insert),
            ("node_nf_conntrack_stat_insert_failed", counters.insert_failed),
            ("node_nf_conntrack_stat_drop", counters.drop),
            ("node_nf_conntrack_stat_early_drop", counters.early_drop),
            ("node_nf_conntrack_stat_search_restart", counters.search_restart),
        ] {
            out.gauge(name, &[], value as f64);
        }
        Ok(())
    }
}
