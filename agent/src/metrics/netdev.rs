//! Traffic of network devices.

use super::{Collector, Given, Memo, Out};
use crate::facts::netdev;
use crate::host::HostError;

/// The collector.
pub struct NetDev;

impl Collector for NetDev {
    fn name(&self) -> &'static str {
        "netdev"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        for counters in netdev::read(given.host)? {
            let device = counters.device.as_str();
            if given.settings.netdev_exclude.is_match(device) {
                continue;
            }
            let labels = [("device", device)];
            let (receive, transmit) = (counters.receive, counters.transmit);
            for (name, value) in [
                ("node_network_receive_bytes_total", receive.bytes),
                ("node_network_receive_packets_total", receive.packets),
                ("node_network_receive_errs_total", receive.errs),
                ("node_network_receive_drop_total", receive.drop),
                ("node_network_receive_fifo_total", receive.fifo),
                ("node_network_receive_frame_total", counters.receive_frame),
                ("node_network_receive_compressed_total", receive.compressed),
                ("node_network_receive_multicast_total", counters.receive_multicast),
                ("node_network_transmit_bytes_total", transmit.bytes),
                ("node_network_transmit_packets_total", transmit.packets),
                ("node_network_transmit_errs_total", transmit.errs),
                ("node_network_transmit_drop_total", transmit.drop),
                ("node_network_transmit_fifo_total", transmit.fifo),
                ("node_network_transmit_colls_total", counters.transmit_colls),
                ("node_network_transmit_carrier_total", counters.transmit_carrier),
                ("node_network_transmit_compressed_total", transmit.compressed),
            ] {
                out.counter(name, &labels, value as f64);
            }
            if let Some(nohandler) = counters.receive_nohandler {
                out.counter("node_network_receive_nohandler_total", &labels, nohandler as f64);
            }
        }
        Ok(())
    }
}
