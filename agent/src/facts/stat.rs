//! Processor times, interrupts, forks: `/proc/stat`.

use crate::host::{Host, HostError};

/// What one kernel tick means to user space: `sysconf(_SC_CLK_TCK)`, 100 on every Debian port.
pub const TICKS_PER_SECOND: f64 = 100.0;

/// Time one processor spent in each mode since boot, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTimes {
    /// In user mode, guests included.
    pub user: u64,
    /// In user mode at low priority.
    pub nice: u64,
    /// In the kernel.
    pub system: u64,
    /// Doing nothing.
    pub idle: u64,
    /// Doing nothing while a disk is awaited.
    pub iowait: u64,
    /// Serving interrupts.
    pub irq: u64,
    /// Serving soft interrupts.
    pub softirq: u64,
    /// Wanted by us, given to others by the hypervisor.
    pub steal: u64,
    /// Running guests (also in `user`).
    pub guest: u64,
    /// Running guests at low priority (also in `nice`).
    pub guest_nice: u64,
}

impl CpuTimes {
    /// All ticks, guests counted once.
    pub fn total(&self) -> u64 {
        [
            self.user,
            self.nice,
            self.system,
            self.idle,
            self.iowait,
            self.irq,
            self.softirq,
            self.steal,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

/// One `cpuN` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cpu {
    /// N.
    pub number: u32,
    /// Its times.
    pub times: CpuTimes,
}

/// `/proc/stat`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stat {
    /// All processors together.
    pub total: CpuTimes,
    /// Each online processor.
    pub cpus: Vec<Cpu>,
    /// Interrupts served.
    pub interrupts: u64,
    /// Context switches.
    pub context_switches: u64,
    /// Processes and threads made.
    pub forks: u64,
    /// When the kernel started, seconds since 1970.
    pub boot_time_s: u64,
    /// Tasks that run or could.
    pub running: u64,
    /// Tasks that wait for a disk.
    pub blocked: u64,
}

/// Reads `proc/stat`.
///
/// # Errors
/// [`HostError`] of the file, or [`HostError::Malformed`].
pub fn read(host: &Host) -> Result<Stat, HostError> {
    parse_stat(&host.read("proc/stat")?)
}

/// Reads the lines named in [`Stat`]; others are skipped.
///
/// # Errors
/// [`HostError::Malformed`] for a known line without its number. A kernel that leaves out the last
/// columns of a `cpu` line (before 2.6.33) is fine: they are 0.
///
/// # Source
/// proc_stat(5).
pub fn parse_stat(text: &str) -> Result<Stat, HostError> {
    let mut stat = Stat::default();
    for line in text.lines() {
        parse_line(line, &mut stat).ok_or_else(|| HostError::malformed("stat", line))?;
    }
    Ok(stat)
}

fn parse_line(line: &str, stat: &mut Stat) -> Option<()> {
    let mut words = line.split_ascii_whitespace();
    let Some(key) = words.next() else { return Some(()) };
    let field = match key {
        "intr" => &mut stat.interrupts,
        "ctxt" => &mut stat.context_switches,
        "processes" => &mut stat.forks,
        "btime" => &mut stat.boot_time_s,
        "procs_running" => &mut stat.running,
        "procs_blocked" => &mut stat.blocked,
        "cpu" => {
            stat.total = parse_times(words)?;
            return Some(());
        }
        _ => {
            if let Some(number) = key.strip_prefix("cpu") {
                let number = number.parse().ok()?;
                stat.cpus.push(Cpu { number, times: parse_times(words)? });
            }
            return Some(());
        }
    };
    *field = words.next()?.parse().ok()?;
    Some(())
}

fn parse_times<'a>(words: impl Iterator<Item = &'a str>) -> Option<CpuTimes> {
    let mut ticks = [0; 10];
    for (tick, word) in ticks.iter_mut().zip(words) {
        *tick = word.parse().ok()?;
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice] = ticks;
    Some(CpuTimes { user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice })
}
