//! What a process has used, as `/proc` says it.

use std::collections::BTreeMap;
use std::fs::read_to_string;

/// CPU used so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Cpu {
    /// User and system together, threads that ended included. Seconds.
    pub(super) total: f64,
    /// Of the living threads by name. Seconds.
    pub(super) threads: BTreeMap<String, f64>,
}

impl Cpu {
    /// Of the process `pid`; nothing when it is gone.
    pub(super) fn of(pid: u32) -> Cpu {
        let mut cpu = Cpu { total: ticks(pid).unwrap_or(0.0), threads: BTreeMap::new() };
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return cpu };
        for task in tasks.flatten() {
            let name = read_to_string(task.path().join("comm")).unwrap_or_default();
            let ran = read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let ns: f64 = ran.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0);
            *cpu.threads.entry(name.trim().to_owned()).or_default() += ns / 1e9;
        }
        cpu
    }

    /// What was used since `before`.
    pub(super) fn since(&self, before: &Cpu) -> Cpu {
        let of = |name: &String| before.threads.get(name).copied().unwrap_or(0.0);
        let threads = self.threads.iter().map(|(name, s)| (name.clone(), s - of(name)));
        Cpu { total: self.total - before.total, threads: threads.collect() }
    }

    /// Of the threads whose names begin so. Seconds.
    pub(super) fn named(&self, prefixes: &[&str]) -> f64 {
        let is_one = |name: &String| prefixes.iter().any(|prefix| name.starts_with(prefix));
        self.threads.iter().filter(|(name, _)| is_one(name)).map(|(_, s)| s).sum()
    }

    /// One line for people: the busiest threads first.
    pub(super) fn line(&self) -> String {
        let mut threads: Vec<_> = self.threads.iter().filter(|(_, s)| **s >= 0.005).collect();
        threads.sort_by(|a, b| b.1.total_cmp(a.1));
        let each: Vec<String> = threads.iter().map(|(name, s)| format!("{name} {s:.2}")).collect();
        format!("{:.2} s ({})", self.total, each.join(", "))
    }
}

fn ticks(pid: u32) -> Option<f64> {
    let text = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let hertz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some(ticks / hertz as f64)
}

/// Memory of a process. MiB.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    /// Resident now.
    pub(super) rss: f64,
    /// Resident at most.
    pub(super) peak: f64,
    /// Resident now, shared pages divided among their users.
    pub(super) pss: f64,
}

impl Memory {
    /// Of the process `pid`; nothing when it is gone.
    pub(super) fn of(pid: u32) -> Memory {
        let field = |file: &str, key: &str| {
            let text = read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        let mib = |kib: Option<f64>| kib.unwrap_or(0.0) / 1024.0;
        Memory {
            rss: mib(field("status", "VmRSS:")),
            peak: mib(field("status", "VmHWM:")),
            pss: mib(field("smaps_rollup", "Pss:")),
        }
    }
}

/// Sum of the samples of a family on a Prometheus page whose labels contain `label`.
pub(super) fn sample(page: &str, family: &str, label: &str) -> Option<f64> {
    let is_it = |line: &&str| {
        line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && line.contains(label)
    };
    let mut values = page
        .lines()
        .filter(is_it)
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .peekable();
    values.peek()?;
    Some(values.sum())
}
