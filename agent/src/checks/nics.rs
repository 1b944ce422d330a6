//! Which network devices the network checks speak of.

use super::gather::Case;
use crate::facts::netclass::NetDevice;

/// Cards with hardware below them that the administrator wants up.
pub(super) fn in_use<'a>(case: &Case, devices: &'a [NetDevice]) -> Vec<&'a NetDevice> {
    let is_physical = |nic: &NetDevice| case.slow.physical.contains(&nic.device);
    devices.iter().filter(|nic| is_physical(nic) && nic.is_admin_up()).collect()
}
