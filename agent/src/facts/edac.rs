//! Memory errors the memory controller counted: `/sys/devices/system/edac/mc`.

use crate::host::{Host, HostError};

/// One memory controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Controller {
    /// `mc0` …
    pub name: String,
    /// Errors corrected since boot.
    pub corrected: u64,
    /// Errors not correctable since boot.
    pub uncorrected: u64,
}

/// Reads every controller.
///
/// # Errors
/// [`HostError::Missing`] when there is none, or [`HostError`] of the folder.
pub fn read(host: &Host) -> Result<Vec<Controller>, HostError> {
    const FOLDER: &str = "sys/devices/system/edac/mc";
    let mut found = Vec::new();
    for name in host.list(FOLDER)? {
        let Ok(corrected) = host.read_number(&format!("{FOLDER}/{name}/ce_count")) else {
            continue;
        };
        let uncorrected = host.read_number(&format!("{FOLDER}/{name}/ue_count")).unwrap_or(0);
        found.push(Controller { name, corrected, uncorrected });
    }
    if found.is_empty() {
        return Err(HostError::Missing { path: FOLDER.to_owned() });
    }
    Ok(found)
}
