//! Memory errors that hardware corrected, and those it could not.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct Edac;

impl Collector for Edac {
    fn name(&self) -> &'static str {
        "edac"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let dir = "sys/devices/system/edac/mc";
        // Without a driver for the memory controller there is nothing to report, as upstream.
        for name in given.host.list(dir).unwrap_or_default() {
            let Some(controller) = name.strip_prefix("mc").filter(|mc| mc.parse::<u32>().is_ok())
            else {
                continue;
            };
            let number =
                |file: &str| given.host.read_number::<f64>(&format!("{dir}/{name}/{file}"));
            let labels = [("controller", controller)];
            out.counter("node_edac_correctable_errors_total", &labels, number("ce_count")?);
            out.counter("node_edac_uncorrectable_errors_total", &labels, number("ue_count")?);
            // Errors of no known row are counted at the controller.
            let (ce, ue) = (number("ce_noinfo_count"), number("ue_noinfo_count"));
            put_row(&[("controller", controller), ("csrow", "unknown")], ce, ue, out);
            for entry in given.host.list(&format!("{dir}/{name}"))? {
                if let Some(row) = entry.strip_prefix("csrow") {
                    let ce = number(&format!("{entry}/ce_count"));
                    let ue = number(&format!("{entry}/ue_count"));
                    put_row(&[("controller", controller), ("csrow", row)], ce, ue, out);
                }
            }
        }
        Ok(())
    }
}

type Count = Result<f64, HostError>;

fn put_row(labels: &[(&str, &str)], correctable: Count, uncorrectable: Count, out: &mut Out<'_>) {
    if let Ok(count) = correctable {
        out.counter("node_edac_csrow_correctable_errors_total", labels, count);
    }
    if let Ok(count) = uncorrectable {
        out.counter("node_edac_csrow_uncorrectable_errors_total", labels, count);
    }
}
