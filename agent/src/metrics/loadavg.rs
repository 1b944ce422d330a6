//! Load averages.

use super::{Collector, Given, Memo, Out};
use crate::facts::load;
use crate::host::HostError;

/// The collector.
pub struct LoadAvg;

impl Collector for LoadAvg {
    fn name(&self) -> &'static str {
        "loadavg"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let load = load::read(given.host)?;
        out.gauge("node_load1", &[], load.one);
        out.gauge("node_load5", &[], load.five);
        out.gauge("node_load15", &[], load.fifteen);
        Ok(())
    }
}
