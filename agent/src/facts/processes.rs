//! All processes in one pass: how many, who is stuck, who is dead, who is big.
//!
//! Nothing is kept of a process that is none of these, so 30 000 of them cost time, not memory.

use crate::host::{Host, HostError};

/// Processes named per kind: the biggest, the stuck, parents of the dead. Count.
pub const NAMED_MAX: usize = 64;
/// The biggest by memory that are named. Count.
pub const BIGGEST_MAX: usize = 5;
/// What `rss` of `/proc/PID/stat` counts. Bytes; the same on every architecture Debian builds for us.
const PAGE_BYTES: u64 = 4096;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// `comm`, at most 15 bytes.
    pub name: String,
    /// R, S, D, Z, T, t, X, I …
    pub state: char,
    /// Threads.
    pub threads: u64,
    /// When it began, ticks after boot: with the pid it names the process for good.
    pub start_ticks: u64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}

/// What one pass over `/proc` saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processes {
    /// Processes.
    pub processes: u64,
    /// Threads of all of them; each needs a pid.
    pub threads: u64,
    /// Dead and not collected by their parent.
    pub zombies: u64,
    /// Those zombies by parent: pid, name and how many; most first, at most [`NAMED_MAX`].
    pub zombie_parents: Vec<(u32, String, u64)>,
    /// In uninterruptible sleep; at most [`NAMED_MAX`] named, all counted in `stuck_count`.
    pub stuck: Vec<Process>,
    /// How many are in uninterruptible sleep.
    pub stuck_count: u64,
    /// The biggest by resident memory, biggest first.
    pub biggest: Vec<Process>,
    /// `kernel.pid_max`
    pub pid_max: u64,
    /// `kernel.threads-max`
    pub threads_max: u64,
}

/// Passes over `proc/[0-9]*/stat`. A process that ends meanwhile is left out.
///
/// # Errors
/// [`HostError`] of `proc` and of the two limits.
pub fn read(host: &Host) -> Result<Processes, HostError> {
    let mut seen = Processes {
        pid_max: host.read_number("proc/sys/kernel/pid_max")?,
        threads_max: host.read_number("proc/sys/kernel/threads-max")?,
        ..Processes::default()
    };
    let mut parents: Vec<(u32, u64)> = Vec::new();
    for name in host.list("proc")? {
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(text) = host.read(&format!("proc/{name}/stat")) else { continue };
        let Ok(process) = parse_process(&text) else { continue };
        seen.add(process, &mut parents);
    }
    parents.sort_by_key(|(pid, count)| (std::cmp::Reverse(*count), *pid));
    seen.zombie_parents = parents
        .into_iter()
        .map(|(pid, count)| {
            let name = host.read_line(&format!("proc/{pid}/comm")).unwrap_or_default();
            (pid, name, count)
        })
        .collect();
    Ok(seen)
}

impl Processes {
    fn add(&mut self, process: Process, parents: &mut Vec<(u32, u64)>) {
        self.processes += 1;
        self.threads += process.threads;
        if process.state == 'Z' {
            self.zombies += 1;
            match parents.iter().position(|(pid, _)| *pid == process.parent) {
                Some(known) => parents[known].1 += 1,
                None if parents.len() < NAMED_MAX => parents.push((process.parent, 1)),
                None => {}
            }
        }
        if process.state == 'D' {
            self.stuck_count += 1;
            if self.stuck.len() < NAMED_MAX {
                self.stuck.push(process.clone());
            }
        }
        let place = self.biggest.partition_point(|big| big.rss_bytes >= process.rss_bytes);
        if place < BIGGEST_MAX {
            self.biggest.insert(place, process);
            self.biggest.truncate(BIGGEST_MAX);
        }
    }
}

/// Reads one `/proc/PID/stat`. The name stands in parentheses and may hold any of `) (`.
///
/// # Errors
/// [`HostError::Malformed`].
///
/// # Source
/// proc_pid_stat(5): fields 1–4, 20, 22, 24.
pub fn parse_process(text: &str) -> Result<Process, HostError> {
    let parse = || {
        let (pid, rest) = text.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(')')?;
        let mut words = rest.split_ascii_whitespace();
        let state = words.next()?.chars().next()?;
        let parent = words.next()?.parse().ok()?;
        let threads = words.nth(15)?.parse().ok()?;
        let start_ticks = words.nth(1)?.parse().ok()?;
        let rss_pages: u64 = words.nth(1)?.parse().ok()?;
        let rss_bytes = rss_pages.saturating_mul(PAGE_BYTES);
        Some(Process {
            pid: pid.parse().ok()?,
            parent,
            name: name.to_owned(),
            state,
            threads,
            start_ticks,
            rss_bytes,
        })
    };
    parse().ok_or_else(|| HostError::malformed("a process's stat", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses() {
        let text = "42 (a) (b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 777 123456 250 18446744073709551615";
        let process = parse_process(text).unwrap();
        assert_eq!(
            (process.pid, process.parent, process.name.as_str(), process.state),
            (42, 1, "a) (b", 'S')
        );
        assert_eq!((process.threads, process.start_ticks, process.rss_bytes), (9, 777, 250 * 4096));
        for broken in ["", "42", "42 (x", "42 (x) Z", "42 (x) Z 1 2 3"] {
            assert!(parse_process(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_live_host_has_this_process() {
        let seen = read(&Host::live()).unwrap();
        assert!(seen.processes > 1 && seen.threads >= seen.processes, "{seen:?}");
        assert!(seen.biggest.is_sorted_by_key(|big| std::cmp::Reverse(big.rss_bytes)));
        assert!(seen.pid_max > 100);
    }
}
