//! Frequencies of processors.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct CpuFreq;

impl Collector for CpuFreq {
    fn name(&self) -> &'static str {
        "cpufreq"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let dir = "sys/devices/system/cpu";
        for name in given.host.list(dir)? {
            let Some(cpu) = name.strip_prefix("cpu").filter(|cpu| cpu.parse::<u32>().is_ok())
            else {
                continue;
            };
            let labels = [("cpu", cpu)];
            let path = |file: &str| format!("{dir}/{name}/cpufreq/{file}");
            for (file, family) in FREQUENCIES {
                if let Ok(kilohertz) = given.host.read_number::<f64>(&path(file)) {
                    out.gauge(family, &labels, kilohertz * 1e3);
                }
            }
            let Ok(governor) = given.host.read_line(&path("scaling_governor")) else { continue };
            let all =
                given.host.read_line(&path("scaling_available_governors")).unwrap_or_default();
            for one in all.split_ascii_whitespace() {
                let labels = [("cpu", cpu), ("governor", one)];
                out.gauge("node_cpu_scaling_governor", &labels, f64::from(one == governor));
            }
        }
        Ok(())
    }
}

/// File and family; `cpuinfo_cur_freq` is for root only.
const FREQUENCIES: [(&str, &str); 7] = [
    ("cpuinfo_avg_freq", "node_cpu_frequency_avg_hertz"),
    ("cpuinfo_cur_freq", "node_cpu_frequency_hertz"),
    ("cpuinfo_min_freq", "node_cpu_frequency_min_hertz"),
    ("cpuinfo_max_freq", "node_cpu_frequency_max_hertz"),
    ("scaling_cur_freq", "node_cpu_scaling_frequency_hertz"),
    ("scaling_min_freq", "node_cpu_scaling_frequency_min_hertz"),
    ("scaling_max_freq", "node_cpu_scaling_frequency_max_hertz"),
];
