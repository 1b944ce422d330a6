//! Bytes that wait in UDP sockets.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct UdpQueues;

impl Collector for UdpQueues {
    fn name(&self) -> &'static str {
        "udp_queues"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        for (ip, path) in [("v4", "proc/net/udp"), ("v6", "proc/net/udp6")] {
            let text = match given.host.read(path) {
                Err(error) if error.is_missing() && ip == "v6" => continue,
                other => other?,
            };
            let (mut tx, mut rx) = (0_u64, 0_u64);
            for line in text.lines().skip(1) {
                let queues =
                    parse_queues(line).ok_or_else(|| HostError::malformed("net/udp", line))?;
                tx = tx.saturating_add(queues.0);
                rx = rx.saturating_add(queues.1);
            }
            out.gauge("node_udp_queues", &[("ip", ip), ("queue", "tx")], tx as f64);
            out.gauge("node_udp_queues", &[("ip", ip), ("queue", "rx")], rx as f64);
        }
        Ok(())
    }
}

/// The fifth column, `tx:rx` in hexadecimal.
fn parse_queues(line: &str) -> Option<(u64, u64)> {
    let (tx, rx) = line.split_ascii_whitespace().nth(4)?.split_once(':')?;
    Some((u64::from_str_radix(tx, 16).ok()?, u64::from_str_radix(rx, 16).ok()?))
}
