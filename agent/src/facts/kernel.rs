//! What the kernel says about itself and its processor: taint, hung tasks, a hypervisor below, holes.

use crate::host::{Host, HostError};

/// What the kernel says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kernel {
    /// `kernel.tainted`, a bit mask; 0 is clean.
    pub tainted: u64,
    /// Tasks found hung since boot; `None` before 6.13.
    pub hung_tasks: Option<u64>,
    /// A hypervisor runs below us, as cpuid says.
    pub is_virtual: bool,
    /// Of this boot.
    pub boot_id: String,
    /// Name of each processor vulnerability the kernel calls vulnerable, with its words.
    pub vulnerable: Vec<(String, String)>,
    /// Logical processors that are present, whether or not online.
    pub cpus_present: u64,
    /// Logical processors that are online.
    pub cpus_online: u64,
}

/// Reads `proc/sys/kernel`, `proc/cpuinfo` and `sys/devices/system/cpu`.
///
/// # Errors
/// [`HostError`] of `tainted`; the rest is left at its default where it is not there.
pub fn read(host: &Host) -> Result<Kernel, HostError> {
    let tainted = host.read_number("proc/sys/kernel/tainted")?;
    let count = |name: &str| {
        let list = host.read_line(&format!("sys/devices/system/cpu/{name}")).unwrap_or_default();
        count_list(&list)
    };
    Ok(Kernel {
        tainted,
        hung_tasks: host.read_number("proc/sys/kernel/hung_task_detect_count").ok(),
        is_virtual: has_hypervisor(&host.read("proc/cpuinfo").unwrap_or_default()),
        boot_id: host.read_line("proc/sys/kernel/random/boot_id").unwrap_or_default(),
        vulnerable: read_vulnerable(host),
        cpus_present: count("present"),
        cpus_online: count("online"),
    })
}

fn read_vulnerable(host: &Host) -> Vec<(String, String)> {
    const FOLDER: &str = "sys/devices/system/cpu/vulnerabilities";
    let names = host.list(FOLDER).unwrap_or_default();
    let told = names.into_iter().filter_map(|name| {
        let words = host.read_line(&format!("{FOLDER}/{name}")).ok()?;
        words.starts_with("Vulnerable").then_some((name, words))
    });
    told.collect()
}

/// Whether the first `flags` line names a hypervisor (x86; elsewhere there is no such word).
fn has_hypervisor(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|line| line.split_ascii_whitespace().any(|flag| flag == "hypervisor"))
}

/// How many numbers a list like `0-3,6` holds; 0 when it is none.
fn count_list(list: &str) -> u64 {
    let run = |run: &str| {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').filter_map(run).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_flags_are_read() {
        assert_eq!(count_list("0-3,6"), 5);
        assert_eq!(count_list("0"), 1);
        assert_eq!(count_list(""), 0);
        assert_eq!(count_list("0-18446744073709551615"), 0);
        assert!(has_hypervisor("processor : 0\nflags\t\t: fpu hypervisor lm\n"));
        assert!(!has_hypervisor("flags : fpu lm\nmodel name : hypervisor\n"));
    }
}
