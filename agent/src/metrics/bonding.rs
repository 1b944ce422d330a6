//! Bonded network devices.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct Bonding;

impl Collector for Bonding {
    fn name(&self) -> &'static str {
        "bonding"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let masters = given.host.read_line("sys/class/net/bonding_masters")?;
        for master in masters.split_ascii_whitespace() {
            let slaves = given.host.read_line(&format!("sys/class/net/{master}/bonding/slaves"))?;
            let (mut count, mut active) = (0_u32, 0_u32);
            for slave in slaves.split_ascii_whitespace() {
                let path = format!("sys/class/net/{slave}/bonding_slave/mii_status");
                count += 1;
                active += u32::from(given.host.read_line(&path).is_ok_and(|status| status == "up"));
            }
            out.gauge("node_bonding_slaves", &[("master", master)], f64::from(count));
            out.gauge("node_bonding_active", &[("master", master)], f64::from(active));
        }
        Ok(())
    }
}
