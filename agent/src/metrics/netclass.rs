//! Properties of network devices.

use super::{Collector, Given, Memo, Out};
use crate::facts::netclass;
use crate::host::HostError;

/// The collector.
pub struct NetClass;

impl Collector for NetClass {
    fn name(&self) -> &'static str {
        "netclass"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        for device in netclass::read(given.host)? {
            if !given.settings.netclass_exclude.is_match(&device.device) {
                put(&device, out);
            }
        }
        Ok(())
    }
}

fn put(device: &netclass::NetDevice, out: &mut Out<'_>) {
    let labels = [("device", device.device.as_str())];
    let is_up = device.operstate == "up";
    out.gauge("node_network_up", &labels, f64::from(is_up));
    let info = [
        ("address", device.address.as_str()),
        ("adminstate", if device.is_admin_up() { "up" } else { "down" }),
        ("broadcast", &device.broadcast),
        ("device", &device.device),
        ("duplex", &device.duplex),
        ("ifalias", &device.ifalias),
        ("operstate", &device.operstate),
    ];
    out.gauge("node_network_info", &info, 1.0);
    for (name, value) in [
        ("node_network_address_assign_type", device.address_assign_type),
        ("node_network_carrier", device.carrier),
        ("node_network_device_id", device.device_id),
        ("node_network_dormant", device.dormant),
        ("node_network_flags", device.flags),
        ("node_network_iface_id", device.iface_id),
        ("node_network_iface_link", device.iface_link),
        ("node_network_iface_link_mode", device.iface_link_mode),
        ("node_network_mtu_bytes", device.mtu_bytes),
        ("node_network_name_assign_type", device.name_assign_type),
        ("node_network_net_dev_group", device.net_dev_group),
        ("node_network_protocol_type", device.protocol_type),
        // An unknown speed of -1 Mbit/s is -125000 bytes/s: rules in the field test for that.
        ("node_network_speed_bytes", device.speed_mbits.map(|mbits| mbits.saturating_mul(125_000))),
        ("node_network_transmit_queue_length", device.transmit_queue_length),
    ] {
        if let Some(value) = value {
            out.gauge(name, &labels, value as f64);
        }
    }
    for (name, value) in [
        ("node_network_carrier_changes_total", device.carrier_changes),
        ("node_network_carrier_up_changes_total", device.carrier_up_changes),
        ("node_network_carrier_down_changes_total", device.carrier_down_changes),
    ] {
        if let Some(value) = value {
            out.counter(name, &labels, value as f64);
        }
    }
}
