//! The random pool.

use super::{Collector, Given, Memo, Out};
use crate::facts::entropy;
use crate::host::HostError;

/// The collector.
pub struct Entropy;

impl Collector for Entropy {
    fn name(&self) -> &'static str {
        "entropy"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let pool = entropy::read(given.host)?;
        out.gauge("node_entropy_available_bits", &[], pool.available_bits as f64);
        out.gauge("node_entropy_pool_size_bits", &[], pool.pool_size_bits as f64);
        Ok(())
    }
}
