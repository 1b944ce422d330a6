//! Evidence drawn from facts that are at hand when something turns bad.

use std::fmt::Write as _;

use super::gather::Case;
use super::words;
use crate::facts::statfs::Usage;

/// The biggest processes by resident memory.
pub(super) fn biggest_processes(case: &Case) -> String {
    let mut text = String::new();
    for process in case.processes.iter().flat_map(|seen| &seen.biggest) {
        let size = words::bytes(process.rss_bytes);
        let _ = writeln!(text, "{size:>10}  pid {:<8} {}", process.pid, process.name);
    }
    text
}

/// Every filesystem with room, fullest first.
pub(super) fn fullest_mounts(case: &Case) -> String {
    let mounts = case.facts.mounts.iter().flatten();
    let mut known: Vec<(u64, u64, &str)> = mounts
        .filter_map(|mount| match &mount.usage {
            Usage::Known(room) if room.size_bytes > 0 => {
                let used = room.size_bytes.saturating_sub(room.free_bytes);
                Some((used, used.saturating_add(room.avail_bytes), mount.mountpoint.as_str()))
            }
            _ => None,
        })
        .collect();
    known.sort_by(|a, b| words::percent(b.0, b.1).total_cmp(&words::percent(a.0, a.1)));
    let mut text = String::new();
    for (used, size, mountpoint) in known.into_iter().take(10) {
        let (percent, used, size) =
            (words::percent(used, size), words::bytes(used), words::bytes(size));
        let _ = writeln!(text, "{percent:5.1}%  {used:>10} of {size:>10}  {mountpoint}");
    }
    text
}

/// Processes in uninterruptible sleep, longest first.
pub(super) fn stuck_processes(case: &Case) -> String {
    let mut text = String::new();
    for (pid, seconds) in case.stuck_s.iter().take(20) {
        let mut stuck = case.processes.iter().flat_map(|seen| &seen.stuck);
        let name = stuck.find(|process| process.pid == *pid).map_or("?", |process| &process.name);
        let _ = writeln!(text, "{:>10}  pid {pid:<8} {name}", words::span(*seconds));
    }
    text
}
