//! Open files of the whole machine.

use crate::host::{Host, HostError};

/// `/proc/sys/fs/file-nr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileFd {
    /// File handles in use.
    pub allocated: u64,
    /// Most there may be.
    pub maximum: u64,
}

/// Reads `proc/sys/fs/file-nr`.
///
/// # Errors
/// [`HostError`] of the file, or [`HostError::Malformed`].
pub fn read(host: &Host) -> Result<FileFd, HostError> {
    parse_file_nr(&host.read("proc/sys/fs/file-nr")?)
}

/// Reads the first and the third number; the second has been 0 since Linux 2.6.
///
/// # Errors
/// [`HostError::Malformed`].
///
/// # Source
/// proc_sys_fs(5).
pub fn parse_file_nr(text: &str) -> Result<FileFd, HostError> {
    let mut words = text.split_ascii_whitespace().map(str::parse);
    match (words.next(), words.next(), words.next()) {
        (Some(Ok(allocated)), Some(_), Some(Ok(maximum))) => Ok(FileFd { allocated, maximum }),
        _ => Err(HostError::malformed("file-nr", text)),
    }
}
