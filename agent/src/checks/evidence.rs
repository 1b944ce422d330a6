//! Evidence drawn from facts that are at hand when something turns bad.

use std::fmt::Write as _;
use std::time::Duration;

use super::gather::Case;
use super::words;
use crate::facts::statfs::Usage;

/// How far back growth is shown.
const GROWN_WITHIN: Duration = Duration::from_secs(3600);

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
        let _ = write!(text, "{percent:5.1}%  {used:>10} of {size:>10}  {mountpoint}");
        if let Some(change) = case.history.change(&format!("fs.used {mountpoint}"), GROWN_WITHIN)
            && change.grown > 0.0
        {
            let (grown, span) =
                (words::bytes(change.grown as u64), words::span(change.span.as_secs()));
            let _ = write!(text, "  (+{grown} in {span})");
        }
        text.push('\n');
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

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::tell;

    /// Without the padding, which an expected text cannot begin with.
    fn bare(text: &str) -> String {
        text.lines().map(|line| line.trim_start().to_owned() + "\n").collect()
    }

    #[test]
    fn the_biggest_processes_are_named() {
        let mut story = "== proc/meminfo\nMemTotal: 100 kB\nMemAvailable: 1 kB\n\
                         == proc/sys/kernel/pid_max\n9\n== proc/sys/kernel/threads-max\n9\n"
            .to_owned();
        for (pid, pages) in [(1, 10), (2, 3000), (3, 0), (4, 200), (5, 70), (6, 80), (7, 90)] {
            story += &format!(
                "== proc/{pid}/stat\n{pid} (p{pid}) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 {pages} 0\n"
            );
        }
        let found = tell("mem.available", &story, None);
        expect![[r#"
            11.7 MiB  pid 2        p2
            800 KiB  pid 4        p4
            360 KiB  pid 7        p7
            320 KiB  pid 6        p6
            280 KiB  pid 5        p5
        "#]]
        .assert_eq(&bare(&found[0].evidence));
    }

    #[test]
    fn the_fullest_mounts_come_first() {
        let found = tell(
            "fs.space",
            "== proc/1/mountinfo
27 1 254:0 / / rw - ext4 /dev/vda rw
28 27 8:1 / /srv rw - ext4 /dev/sda1 rw
== recorded/statfs
/ 100000 60000 50000 0 0
/srv 100000 9060 50 0 0
== +120
== recorded/statfs
/ 100000 60000 50000 0 0
/srv 100000 60 50 0 0
",
            None,
        );
        expect![[r#"
             99.9%    97.6 KiB of   97.6 KiB  /srv  (+8.8 KiB in 2 min)
             44.4%    39.1 KiB of   87.9 KiB  /
        "#]]
        .assert_eq(&bare(&found[1].evidence));
        assert_eq!(found[0].evidence, "", "what is well needs no evidence");
    }
}
