//! Who made the machine. Serial numbers are for root only and then left out.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct Dmi;

impl Collector for Dmi {
    fn name(&self) -> &'static str {
        "dmi"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let dir = "sys/class/dmi/id";
        given.host.list(dir)?;
        let mut labels = Vec::with_capacity(FILES.len());
        for (label, file) in FILES {
            if let Ok(value) = given.host.read_line(&format!("{dir}/{file}")) {
                labels.push((label, value));
            }
        }
        let labels: Vec<_> = labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
        out.gauge("node_dmi_info", &labels, 1.0);
        Ok(())
    }
}

/// Label and file, sorted by label.
const FILES: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];
