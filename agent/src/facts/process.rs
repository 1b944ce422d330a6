//! Our own process.

use procfs::FromRead;
use procfs::process::{Limits, Stat};

use super::stat::TICKS_PER_SECOND;
use crate::host::{Host, HostError};

/// What the kernel says of this process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Process {
    /// User and system time, seconds.
    pub cpu_s: f64,
    /// Open files.
    pub open_fds: u64,
    /// Most open files allowed.
    pub max_fds: f64,
    /// Memory in RAM, bytes.
    pub resident_bytes: u64,
    /// Address space, bytes.
    pub virtual_bytes: u64,
    /// Most address space allowed, bytes.
    pub virtual_bytes_max: f64,
    /// When it started, seconds after boot.
    pub started_after_boot_s: f64,
    /// Threads.
    pub threads: u64,
}

/// Reads `proc/self`.
///
/// # Errors
/// [`HostError`] of the files, or [`HostError::Malformed`].
pub fn read(host: &Host) -> Result<Process, HostError> {
    let text = host.read("proc/self/stat")?;
    let stat = Stat::from_read(text.as_bytes())
        .map_err(|_| HostError::malformed("own process's stat", &text))?;
    let text = host.read("proc/self/limits")?;
    let limits = Limits::from_read(text.as_bytes())
        .map_err(|_| HostError::malformed("own process's limits", &text))?;
    Ok(Process {
        cpu_s: stat.utime.saturating_add(stat.stime) as f64 / TICKS_PER_SECOND,
        // Our own look at the directory is one of them.
        open_fds: host.list("proc/self/fd")?.len().saturating_sub(1) as u64,
        max_fds: bound(limits.max_open_files.soft_limit),
        resident_bytes: stat.rss.saturating_mul(page_bytes()),
        virtual_bytes: stat.vsize,
        virtual_bytes_max: bound(limits.max_address_space.soft_limit),
        started_after_boot_s: stat.starttime as f64 / TICKS_PER_SECOND,
        threads: u64::try_from(stat.num_threads).unwrap_or(0),
    })
}

/// Bytes of a page of memory.
pub fn page_bytes() -> u64 {
    let told = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    told.ok().flatten().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096)
}

/// Without a limit the kernel means its largest number, and so does everybody's `process_…`.
fn bound(limit: procfs::process::LimitValue) -> f64 {
    match limit {
        procfs::process::LimitValue::Unlimited => u64::MAX as f64,
        procfs::process::LimitValue::Value(value) => value as f64,
    }
}
