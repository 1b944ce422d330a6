//! Counters of the network protocols.

use muster_proto::metric::MetricType;

use super::{Collector, Given, Memo, Out};
use crate::facts::netstat;
use crate::host::HostError;

/// The collector.
pub struct Netstat;

impl Collector for Netstat {
    fn name(&self) -> &'static str {
        "netstat"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let fields = &given.settings.netstat_fields;
        let mut field = String::new();
        netstat::scan(given.host, &mut |protocol, key, value| {
            field.clear();
            field.extend([protocol, "_", key]);
            if fields.is_match(&field) {
                out.named(&["node_netstat_", &field], MetricType::Untyped, value as f64);
            }
        })?;
        Ok(())
    }
}
