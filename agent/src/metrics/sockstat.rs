//! Sockets in use.

use muster_proto::metric::MetricType;

use super::{Collector, Given, Memo, Out};
use crate::facts::{process, sockstat};
use crate::host::HostError;

/// The collector.
pub struct Sockstat;

impl Collector for Sockstat {
    fn name(&self) -> &'static str {
        "sockstat"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        for entry in sockstat::read(given.host)?.entries {
            let (protocol, key) = (entry.protocol.as_str(), entry.key.as_str());
            let parts = ["node_sockstat_", protocol, "_", key];
            out.named(&parts, MetricType::Gauge, entry.value as f64);
            if key == "mem" {
                let bytes = entry.value.saturating_mul(process::page_bytes());
                let parts = ["node_sockstat_", protocol, "_mem_bytes"];
                out.named(&parts, MetricType::Gauge, bytes as f64);
            }
        }
        Ok(())
    }
}
