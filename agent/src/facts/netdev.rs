//! Traffic counters of network devices: `/proc/net/dev`.

use crate::host::{Host, HostError};

/// One direction. The kernel sums related errors into one column; see proc_net(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Direction {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Errors of all kinds.
    pub errs: u64,
    /// Dropped packets (receiving: missed ones included).
    pub drop: u64,
    /// Full buffers.
    pub fifo: u64,
    /// Compressed packets.
    pub compressed: u64,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetCounters {
    /// Its name.
    pub device: String,
    /// Coming in.
    pub receive: Direction,
    /// Framing errors: length, overrun, CRC, alignment.
    pub receive_frame: u64,
    /// Multicast packets received.
    pub receive_multicast: u64,
    /// Packets for which there is no protocol handler; from sysfs.
    pub receive_nohandler: Option<u64>,
    /// Going out.
    pub transmit: Direction,
    /// Collisions.
    pub transmit_colls: u64,
    /// Carrier lost while sending.
    pub transmit_carrier: u64,
}

/// Reads `proc/net/dev`, and `rx_nohandler` of each device from sysfs.
///
/// # Errors
/// [`HostError`] of the file, or [`HostError::Malformed`].
pub fn read(host: &Host) -> Result<Vec<NetCounters>, HostError> {
    let mut devices = parse_net_dev(&host.read("proc/net/dev")?)?;
    for device in &mut devices {
        let path = format!("sys/class/net/{}/statistics/rx_nohandler", device.device);
        device.receive_nohandler = host.read_number(&path).ok();
    }
    Ok(devices)
}

/// Reads the 16 columns of each device.
///
/// # Errors
/// [`HostError::Malformed`] for a device line with fewer than 16 numbers.
///
/// # Source
/// proc_net(5); the two head lines are skipped because their bars carry no colon.
pub fn parse_net_dev(text: &str) -> Result<Vec<NetCounters>, HostError> {
    let mut devices = Vec::new();
    for line in text.lines().skip(2) {
        devices.push(parse_line(line).ok_or_else(|| HostError::malformed("net/dev", line))?);
    }
    Ok(devices)
}

fn parse_line(line: &str) -> Option<NetCounters> {
    // An alias such as `eth0:1` has a colon too: the last one ends the name.
    let (device, numbers) = line.rsplit_once(':')?;
    let mut columns = [0; 16];
    let mut words = numbers.split_ascii_whitespace();
    for column in &mut columns {
        *column = words.next()?.parse().ok()?;
    }
    let [rb, rp, re, rd, rf, rframe, rc, rmulti, tb, tp, te, td, tf, tcolls, tcarrier, tc] =
        columns;
    Some(NetCounters {
        device: device.trim().to_owned(),
        receive: Direction { bytes: rb, packets: rp, errs: re, drop: rd, fifo: rf, compressed: rc },
        receive_frame: rframe,
        receive_multicast: rmulti,
        receive_nohandler: None,
        transmit: Direction {
            bytes: tb,
            packets: tp,
            errs: te,
            drop: td,
            fifo: tf,
            compressed: tc,
        },
        transmit_colls: tcolls,
        transmit_carrier: tcarrier,
    })
}
