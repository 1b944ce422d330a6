//! Our own process.

use procfs::FromRead;
use procfs::process::Stat;

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
    let limits = host.read("proc/self/limits")?;
    Ok(Process {
        cpu_s: stat.utime.saturating_add(stat.stime) as f64 / TICKS_PER_SECOND,
        // Our own look at the directory is one of them.
        open_fds: host.list("proc/self/fd")?.len().saturating_sub(1) as u64,
        max_fds: parse_limit(&limits, "Max open files")?,
        resident_bytes: stat.rss.saturating_mul(page_bytes()),
        virtual_bytes: stat.vsize,
        virtual_bytes_max: parse_limit(&limits, "Max address space")?,
        started_after_boot_s: stat.starttime as f64 / TICKS_PER_SECOND,
        threads: u64::try_from(stat.num_threads).unwrap_or(0),
    })
}

/// Bytes of a page of memory.
pub fn page_bytes() -> u64 {
    let told = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    told.ok().flatten().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096)
}

/// The soft limit of one line of `/proc/PID/limits`. Without a limit the kernel means its largest number,
/// and so does everybody's `process_…`.
///
/// The procfs crate reads this file, too, but panics on a line of fewer than three words.
///
/// # Errors
/// [`HostError::Malformed`] when the line is not there or says no number.
///
/// # Source
/// proc_pid_limits(5).
fn parse_limit(text: &str, name: &str) -> Result<f64, HostError> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    match rest.and_then(|rest| rest.split_ascii_whitespace().next()) {
        Some("unlimited") => Ok(u64::MAX as f64),
        Some(word) => match word.parse::<u64>() {
            Ok(limit) => Ok(limit as f64),
            Err(_) => Err(HostError::malformed("own process's limits", word)),
        },
        None => Err(HostError::malformed("own process's limits", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_none_and_damage_is_an_error() {
        let text = "Limit  Soft Limit  Hard Limit  Units\n\nMax open files   1024  4096  files\n\
                    Max address space  unlimited  unlimited  bytes\nMax processes\nMax cpu time x\n";
        let limit = |name| parse_limit(text, name).ok();
        assert_eq!(limit("Max open files"), Some(1024.0));
        assert_eq!(limit("Max address space"), Some(u64::MAX as f64));
        assert_eq!([limit("Max processes"), limit("Max cpu time"), limit("Max locks")], [None; 3]);
    }
}
