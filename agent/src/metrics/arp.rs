//! Neighbours known by their hardware address.

use std::collections::BTreeMap;

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct Arp;

impl Collector for Arp {
    fn name(&self) -> &'static str {
        "arp"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let text = given.host.read("proc/net/arp")?;
        let mut entries: BTreeMap<&str, u32> = BTreeMap::new();
        // Device is the last of six columns.
        for device in text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(5)) {
            *entries.entry(device).or_default() += 1;
        }
        for (device, count) in entries {
            out.gauge("node_arp_entries", &[("device", device)], f64::from(count));
        }
        Ok(())
    }
}
