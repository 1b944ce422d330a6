//! systemd's units, timers and sockets.

use super::{Collector, Given, Memo, Out};
use crate::facts::units::{self, Units};
use crate::host::HostError;

/// The collector.
pub struct Systemd;

impl Collector for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let told = units::read(given.host)?;
        put_system(&told, out);
        let is_wanted = |name: &str| !given.settings.units_exclude.is_match(name);
        for unit in told.units.iter().filter(|unit| unit.load_state == "loaded") {
            if is_wanted(&unit.name) {
                for state in STATES {
                    let labels =
                        [("name", unit.name.as_str()), ("state", state), ("type", &unit.kind)];
                    let is_so = unit.active_state == state;
                    out.gauge("node_systemd_unit_state", &labels, f64::from(is_so));
                }
            }
        }
        for timer in told.timers.iter().filter(|timer| is_wanted(&timer.name)) {
            let last_s = timer.last_trigger_us as f64 / 1e6;
            let labels = [("name", timer.name.as_str())];
            out.gauge("node_systemd_timer_last_trigger_seconds", &labels, last_s);
        }
        for socket in told.sockets.iter().filter(|socket| is_wanted(&socket.name)) {
            let labels = [("name", socket.name.as_str())];
            out.counter(
                "node_systemd_socket_accepted_connections_total",
                &labels,
                socket.accepted as f64,
            );
            out.gauge("node_systemd_socket_current_connections", &labels, socket.current as f64);
            // Upstream types this one as a gauge.
            out.gauge(
                "node_systemd_socket_refused_connections_total",
                &labels,
                socket.refused as f64,
            );
        }
        Ok(())
    }
}

const STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];

fn put_system(told: &Units, out: &mut Out<'_>) {
    let is_running = told.system_state == "running";
    out.gauge("node_systemd_system_running", &[], f64::from(is_running));
    let labels = [("version", told.version.as_str())];
    out.gauge("node_systemd_version", &labels, parse_version(&told.version));
    let labels = [("virtualization_type", told.virtualization.as_str())];
    out.gauge("node_systemd_virtualization_info", &labels, 1.0);
    for state in STATES {
        let count = told.units.iter().filter(|unit| unit.active_state == state).count();
        out.gauge("node_systemd_units", &[("state", state)], count as f64);
    }
}

/// `252.30-1~deb12u2` is 252.3 to upstream: the first number with its fraction.
fn parse_version(version: &str) -> f64 {
    let is_part = |letter: char| letter.is_ascii_digit() || letter == '.';
    let end = version.find(|letter| !is_part(letter)).unwrap_or(version.len());
    version[..end].parse().unwrap_or(0.0)
}
