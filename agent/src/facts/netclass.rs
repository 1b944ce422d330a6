//! Properties of network devices: `/sys/class/net/*`.

use crate::host::{Host, HostError};

/// One device. `None` where the driver or the device's state has no answer (a link that is down has
/// no speed and no carrier).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetDevice {
    /// Its name.
    pub device: String,
    /// `up`, `down`, `unknown`, `dormant`, …
    pub operstate: String,
    /// Hardware address.
    pub address: String,
    /// Broadcast address.
    pub broadcast: String,
    /// `full`, `half`, `unknown`; empty when not known.
    pub duplex: String,
    /// A name given by the operator.
    pub ifalias: String,
    /// 1 when there is a link.
    pub carrier: Option<i64>,
    /// Mbit/s; -1 when unknown.
    pub speed_mbits: Option<i64>,
    /// `IFF_…` bits, netdevice(7).
    pub flags: Option<i64>,
    /// Times the link came or went.
    pub carrier_changes: Option<i64>,
    /// Times it came.
    pub carrier_up_changes: Option<i64>,
    /// Times it went.
    pub carrier_down_changes: Option<i64>,
    /// Where the hardware address comes from.
    pub address_assign_type: Option<i64>,
    /// Port number on a shared card.
    pub device_id: Option<i64>,
    /// 1 when waiting for an outside event (802.1X).
    pub dormant: Option<i64>,
    /// Index.
    pub iface_id: Option<i64>,
    /// Index of the device below.
    pub iface_link: Option<i64>,
    /// Link mode.
    pub iface_link_mode: Option<i64>,
    /// Bytes.
    pub mtu_bytes: Option<i64>,
    /// How the name was chosen.
    pub name_assign_type: Option<i64>,
    /// Group of devices.
    pub net_dev_group: Option<i64>,
    /// ARP protocol type.
    pub protocol_type: Option<i64>,
    /// Packets.
    pub transmit_queue_length: Option<i64>,
}

impl NetDevice {
    /// Whether the operator wants it up (`IFF_UP`).
    pub fn is_admin_up(&self) -> bool {
        self.flags.is_some_and(|flags| flags & 1 == 1)
    }
}

/// Reads every device of `sys/class/net`.
///
/// # Errors
/// [`HostError`] of the directory. A device that vanishes meanwhile is left out.
pub fn read(host: &Host) -> Result<Vec<NetDevice>, HostError> {
    let names = host.list("sys/class/net")?;
    // `bonding_masters` is a plain file among the devices.
    Ok(names.into_iter().filter_map(|name| read_device(host, name)).collect())
}

fn read_device(host: &Host, device: String) -> Option<NetDevice> {
    let mut path = format!("sys/class/net/{device}/");
    let dir_len = path.len();
    let mut line = |file: &str| {
        path.truncate(dir_len);
        path.push_str(file);
        host.read_line(&path).ok()
    };
    let operstate = line("operstate")?;
    let mut text = |file: &str| line(file).unwrap_or_default();
    let (address, broadcast) = (text("address"), text("broadcast"));
    let (duplex, ifalias) = (text("duplex"), text("ifalias"));
    let mut number = |file: &str| parse_number(&line(file)?);
    Some(NetDevice {
        operstate,
        address,
        broadcast,
        duplex,
        ifalias,
        carrier: number("carrier"),
        speed_mbits: number("speed"),
        flags: number("flags"),
        carrier_changes: number("carrier_changes"),
        carrier_up_changes: number("carrier_up_count"),
        carrier_down_changes: number("carrier_down_count"),
        address_assign_type: number("addr_assign_type"),
        device_id: number("dev_id"),
        dormant: number("dormant"),
        iface_id: number("ifindex"),
        iface_link: number("iflink"),
        iface_link_mode: number("link_mode"),
        mtu_bytes: number("mtu"),
        name_assign_type: number("name_assign_type"),
        net_dev_group: number("netdev_group"),
        protocol_type: number("type"),
        transmit_queue_length: number("tx_queue_len"),
        device,
    })
}

/// A decimal number, or hexadecimal after `0x` (`flags`, `dev_id`).
fn parse_number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
