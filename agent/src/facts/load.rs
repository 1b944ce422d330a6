//! Load averages.

use crate::host::{Host, HostError};

/// Runnable and uninterruptible tasks, averaged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// Over 1 minute.
    pub one: f64,
    /// Over 5 minutes.
    pub five: f64,
    /// Over 15 minutes.
    pub fifteen: f64,
}

/// Reads `proc/loadavg`.
///
/// # Errors
/// [`HostError`] of the file, or [`HostError::Malformed`].
pub fn read(host: &Host) -> Result<Load, HostError> {
    parse_loadavg(&host.read("proc/loadavg")?)
}

/// Reads the three averages; what follows them is skipped.
///
/// # Errors
/// [`HostError::Malformed`] when there are no three numbers.
///
/// # Source
/// proc_loadavg(5).
pub fn parse_loadavg(text: &str) -> Result<Load, HostError> {
    let mut words = text.split_ascii_whitespace().map(str::parse);
    match (words.next(), words.next(), words.next()) {
        (Some(Ok(one)), Some(Ok(five)), Some(Ok(fifteen))) => Ok(Load { one, five, fifteen }),
        _ => Err(HostError::malformed("loadavg", text)),
    }
}
