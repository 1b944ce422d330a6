//! Memory: every key of meminfo, whatever the kernel's version.

use crate::host::{Host, HostError};

/// One line of meminfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As the kernel says it, e.g. `MemTotal`, `Active(anon)`.
    pub key: String,
    /// Bytes, or a count when `is_bytes` is false.
    pub value: u64,
    /// False for the `HugePages_…` counts.
    pub is_bytes: bool,
}

/// All lines, in the kernel's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// One for each line.
    pub entries: Vec<Entry>,
}

impl Memory {
    /// The value of `key` in bytes (a count for `HugePages_…`).
    pub fn value(&self, key: &str) -> Option<u64> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.value)
    }

    /// `MemTotal`, bytes; 0 when the kernel does not say.
    pub fn total_bytes(&self) -> u64 {
        self.value("MemTotal").unwrap_or(0)
    }

    /// `MemAvailable`, bytes; 0 when the kernel does not say.
    pub fn available_bytes(&self) -> u64 {
        self.value("MemAvailable").unwrap_or(0)
    }
}

/// Reads `proc/meminfo`.
///
/// # Errors
/// [`HostError`] of the file, or [`HostError::Malformed`].
pub fn read(host: &Host) -> Result<Memory, HostError> {
    parse_meminfo(&host.read("proc/meminfo")?)
}

/// Reads every line.
///
/// # Shape
/// In: lines `Key:   123 kB` or `Key:   123`. Out: bytes (the kernel says kB and means KiB).
///
/// # Errors
/// [`HostError::Malformed`] for a line that has no key or no number.
///
/// # Source
/// proc_meminfo(5).
pub fn parse_meminfo(text: &str) -> Result<Memory, HostError> {
    let mut entries = Vec::with_capacity(64);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        entries.push(parse_line(line).ok_or_else(|| HostError::malformed("meminfo", line))?);
    }
    Ok(Memory { entries })
}

fn parse_line(line: &str) -> Option<Entry> {
    let (key, rest) = line.split_once(':')?;
    let mut words = rest.split_ascii_whitespace();
    let value: u64 = words.next()?.parse().ok()?;
    let (value, is_bytes) = match words.next() {
        None => (value, false),
        Some("kB") => (value.checked_mul(1024)?, true),
        Some(_) => return None,
    };
    Some(Entry { key: key.trim().to_owned(), value, is_bytes })
}
