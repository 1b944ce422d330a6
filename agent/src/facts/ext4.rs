//! Errors that ext4 recorded in its superblock: `/sys/fs/ext4/*`.

use crate::host::{Host, HostError};

/// One mounted ext4.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ext4 {
    /// Block device, e.g. `sda1`.
    pub device: String,
    /// Errors since the last fsck.
    pub errors: u64,
    /// Kernel function that met the last one; empty when none.
    pub last_function: String,
    /// When the last one was met, seconds since 1970; 0 when none.
    pub last_at_s: u64,
}

/// Reads every `sys/fs/ext4/*` that counts errors.
///
/// # Errors
/// [`HostError`] of the folder: missing when no ext4 is mounted.
pub fn read(host: &Host) -> Result<Vec<Ext4>, HostError> {
    let mut found = Vec::new();
    for device in host.list("sys/fs/ext4")? {
        let folder = format!("sys/fs/ext4/{device}");
        let Ok(errors) = host.read_number(&format!("{folder}/errors_count")) else { continue };
        let last_function =
            host.read_line(&format!("{folder}/last_error_func")).unwrap_or_default();
        let last_at_s = host.read_number(&format!("{folder}/last_error_time")).unwrap_or(0);
        found.push(Ext4 { device, errors, last_function, last_at_s });
    }
    Ok(found)
}
