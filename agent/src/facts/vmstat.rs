//! Counters of the virtual memory system: `/proc/vmstat`.

use crate::host::{Host, HostError};

/// Every line, in the kernel's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vmstat {
    /// Name and value (pages or events, as the name says).
    pub entries: Vec<(String, u64)>,
}

impl Vmstat {
    /// The value of `key`.
    pub fn value(&self, key: &str) -> Option<u64> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }
}

/// Reads `proc/vmstat`.
///
/// # Errors
/// [`HostError`] of the file, or [`HostError::Malformed`].
pub fn read(host: &Host) -> Result<Vmstat, HostError> {
    let text = host.read("proc/vmstat")?;
    let entries = scan_vmstat(&text)
        .map(|line| line.map(|(key, value)| (key.to_owned(), value)))
        .collect::<Result<_, _>>()?;
    Ok(Vmstat { entries })
}

/// Goes over the lines `name value` without keeping them.
///
/// # Errors
/// [`HostError::Malformed`] for a line that is not two words. Values are unsigned; a few kernels
/// print a negative one for a moment, which reads as 0.
pub fn scan_vmstat(text: &str) -> impl Iterator<Item = Result<(&str, u64), HostError>> {
    text.lines().map(|line| {
        let wrong = || HostError::malformed("vmstat", line);
        let (key, value) = line.split_once(' ').ok_or_else(wrong)?;
        let value = value.trim();
        let value = if value.starts_with('-') { "0" } else { value };
        Ok((key, value.parse().map_err(|_| wrong())?))
    })
}
