//! Processor time.
//!
//! The kernel's counters go backwards at times: a little when the idle time is accounted anew, a lot
//! when a processor was taken away and came back. A small step back keeps the old value, so that
//! nobody's `rate()` sees a reset that was none; a large one begins anew.

use std::collections::BTreeMap;

use super::{Collector, Given, Memo, Out};
use crate::facts::stat::{self, CpuTimes, TICKS_PER_SECOND};
use crate::host::{Host, HostError};

/// Idle time that goes back by this much means that the processor was away. Ticks (3 seconds).
const JUMP_BACK_TICKS: u64 = 300;

/// The collector.
pub struct Cpu;

/// The times last put out, by processor.
pub(super) type Seen = BTreeMap<u32, CpuTimes>;

impl Collector for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let cpus = stat::read(given.host)?.cpus;
        memo.cpus.retain(|number, _| cpus.iter().any(|cpu| cpu.number == *number));
        for cpu in &cpus {
            let seen = memo.cpus.entry(cpu.number).or_default();
            *seen = forward(*seen, cpu.times);
            put(&cpu.number.to_string(), seen, out);
        }
        put_throttles(given.host, out);
        put_lists(given.host, out);
        Ok(())
    }
}

/// The times to put out, given those put out before and those the kernel says now.
fn forward(seen: CpuTimes, told: CpuTimes) -> CpuTimes {
    if seen.idle.saturating_sub(told.idle) >= JUMP_BACK_TICKS {
        return told;
    }
    CpuTimes {
        user: seen.user.max(told.user),
        nice: seen.nice.max(told.nice),
        system: seen.system.max(told.system),
        idle: seen.idle.max(told.idle),
        iowait: seen.iowait.max(told.iowait),
        irq: seen.irq.max(told.irq),
        softirq: seen.softirq.max(told.softirq),
        steal: seen.steal.max(told.steal),
        guest: seen.guest.max(told.guest),
        guest_nice: seen.guest_nice.max(told.guest_nice),
    }
}

fn put(cpu: &str, times: &CpuTimes, out: &mut Out<'_>) {
    for (mode, ticks) in [
        ("user", times.user),
        ("nice", times.nice),
        ("system", times.system),
        ("idle", times.idle),
        ("iowait", times.iowait),
        ("irq", times.irq),
        ("softirq", times.softirq),
        ("steal", times.steal),
    ] {
        let seconds = ticks as f64 / TICKS_PER_SECOND;
        out.counter("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], seconds);
    }
    for (mode, ticks) in [("user", times.guest), ("nice", times.guest_nice)] {
        let seconds = ticks as f64 / TICKS_PER_SECOND;
        out.counter("node_cpu_guest_seconds_total", &[("cpu", cpu), ("mode", mode)], seconds);
    }
}

/// Throttling is counted by core and by package; hyperthreads of one core say the same, once.
fn put_throttles(host: &Host, out: &mut Out<'_>) {
    let dir = "sys/devices/system/cpu";
    if !host.exists(&format!("{dir}/cpu0/thermal_throttle")) {
        return; // A virtual machine, or not an Intel processor.
    }
    let mut cores = BTreeMap::new();
    let mut packages = BTreeMap::new();
    for name in host.list(dir).unwrap_or_default() {
        if name.strip_prefix("cpu").is_none_or(|rest| rest.parse::<u32>().is_err()) {
            continue;
        }
        let number = |file: &str| host.read_number::<u64>(&format!("{dir}/{name}/{file}"));
        let Ok(package) = number("topology/physical_package_id") else { continue };
        if let Ok(core) = number("topology/core_id")
            && let Ok(count) = number("thermal_throttle/core_throttle_count")
        {
            cores.entry((package, core)).or_insert(count);
        }
        if let Ok(count) = number("thermal_throttle/package_throttle_count") {
            packages.entry(package).or_insert(count);
        }
    }
    for ((package, core), count) in cores {
        let (package, core) = (package.to_string(), core.to_string());
        let labels = [("core", core.as_str()), ("package", &package)];
        out.counter("node_cpu_core_throttles_total", &labels, count as f64);
    }
    for (package, count) in packages {
        let labels = [("package", &*package.to_string())];
        out.counter("node_cpu_package_throttles_total", &labels, count as f64);
    }
}

/// Which processors are online, and which the scheduler leaves alone.
fn put_lists(host: &Host, out: &mut Out<'_>) {
    let list = |file: &str| {
        let text = host.read_line(&format!("sys/devices/system/cpu/{file}")).unwrap_or_default();
        parse_list(&text)
    };
    let online = list("online");
    for cpu in list("present") {
        let labels = [("cpu", &*cpu.to_string())];
        out.gauge("node_cpu_online", &labels, f64::from(online.contains(&cpu)));
    }
    for cpu in list("isolated") {
        out.gauge("node_cpu_isolated", &[("cpu", &cpu.to_string())], 1.0);
    }
}

/// `0-2,5` as numbers; what is no number is skipped. At most 8 192, as the kernel.
fn parse_list(text: &str) -> Vec<u32> {
    let ranges = text.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    });
    ranges.flatten().take(8_192).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seen_idle: u64, told_idle: u64, put_out: u64) {
        let times = |idle| CpuTimes { idle, user: 7, ..CpuTimes::default() };
        assert_eq!(forward(times(seen_idle), times(told_idle)), times(put_out));
    }

    #[test]
    fn small_steps_back_are_hidden_and_large_ones_begin_anew() {
        check(1_000, 1_100, 1_100);
        check(1_000, 999, 1_000);
        check(1_000, 701, 1_000);
        check(1_000, 700, 700);
        check(0, 0, 0);
    }

    #[test]
    fn a_processor_that_came_back_loses_all_its_old_times() {
        let seen = CpuTimes { user: 500, idle: 10_000, ..CpuTimes::default() };
        let told = CpuTimes { user: 1, idle: 2, ..CpuTimes::default() };
        assert_eq!(forward(seen, told), told);
    }

    #[test]
    fn lists_of_processors() {
        assert_eq!(parse_list("0-2,5"), [0, 1, 2, 5]);
        assert!(parse_list("").is_empty());
        assert_eq!(parse_list("0-4294967295").len(), 8_192);
    }
}
