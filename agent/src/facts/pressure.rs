//! Pressure stall information: how long tasks waited for a resource.

use crate::host::{Host, HostError};

/// One line of a pressure file.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stall {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last 60 seconds.
    pub avg60: f64,
    /// Percent of the last 300 seconds.
    pub avg300: f64,
    /// Since boot, microseconds.
    pub total_us: u64,
}

/// One resource.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stalls {
    /// At least one task waited. `irq` has none.
    pub some: Option<Stall>,
    /// All tasks waited at once.
    pub full: Option<Stall>,
}

/// All resources this kernel measures.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pressure {
    /// `/proc/pressure/cpu`
    pub cpu: Option<Stalls>,
    /// `/proc/pressure/io`
    pub io: Option<Stalls>,
    /// `/proc/pressure/memory`
    pub memory: Option<Stalls>,
    /// `/proc/pressure/irq`, only with `CONFIG_IRQ_TIME_ACCOUNTING`
    pub irq: Option<Stalls>,
}

/// Reads `proc/pressure/*`.
///
/// # Errors
/// [`HostError::Missing`] when the kernel has none of the files; a single missing one is `None`.
pub fn read(host: &Host) -> Result<Pressure, HostError> {
    let one = |path: &str| match host.read(path) {
        Ok(text) => parse_pressure(&text).map(Some),
        // A kernel booted with psi=0 has the files, and refuses to read them.
        Err(HostError::Read { source, .. }) if source.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            Ok(None)
        }
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    };
    let pressure = Pressure {
        cpu: one("proc/pressure/cpu")?,
        io: one("proc/pressure/io")?,
        memory: one("proc/pressure/memory")?,
        irq: one("proc/pressure/irq")?,
    };
    if pressure == Pressure::default() {
        return Err(HostError::Missing { path: "proc/pressure".to_owned() });
    }
    Ok(pressure)
}

/// Reads one pressure file.
///
/// # Shape
/// In: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, then perhaps the same with `full`.
///
/// # Errors
/// [`HostError::Malformed`]. Unknown words are skipped.
///
/// # Source
/// Documentation/accounting/psi.rst of the kernel.
pub fn parse_pressure(text: &str) -> Result<Stalls, HostError> {
    let mut stalls = Stalls::default();
    for line in text.lines() {
        let wrong = || HostError::malformed("pressure", line);
        let (kind, rest) = line.split_once(' ').ok_or_else(wrong)?;
        let stall = parse_stall(rest).ok_or_else(wrong)?;
        match kind {
            "some" => stalls.some = Some(stall),
            "full" => stalls.full = Some(stall),
            _ => return Err(wrong()),
        }
    }
    Ok(stalls)
}

fn parse_stall(words: &str) -> Option<Stall> {
    let mut stall = Stall::default();
    for word in words.split_ascii_whitespace() {
        let (key, value) = word.split_once('=')?;
        match key {
            "avg10" => stall.avg10 = value.parse().ok()?,
            "avg60" => stall.avg60 = value.parse().ok()?,
            "avg300" => stall.avg300 = value.parse().ok()?,
            "total" => stall.total_us = value.parse().ok()?,
            _ => {}
        }
    }
    Some(stall)
}
