//! Mandatory access control of SELinux.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct Selinux;

impl Collector for Selinux {
    fn name(&self) -> &'static str {
        "selinux"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let enforce = match given.host.read_number::<f64>("sys/fs/selinux/enforce") {
            Err(error) if error.is_missing() => {
                out.gauge("node_selinux_enabled", &[], 0.0);
                return Ok(());
            }
            other => other?,
        };
        let config = given.host.read("etc/selinux/config").unwrap_or_default();
        let mode = match config.lines().find_map(|line| line.trim().strip_prefix("SELINUX=")) {
            Some("enforcing") => 1.0,
            Some("permissive") => 0.0,
            _ => -1.0,
        };
        out.gauge("node_selinux_enabled", &[], 1.0);
        out.gauge("node_selinux_config_mode", &[], mode);
        out.gauge("node_selinux_current_mode", &[], enforce);
        Ok(())
    }
}
