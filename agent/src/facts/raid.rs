//! Linux software RAID: `/sys/block/md*/md`.

use crate::host::{Host, HostError};

/// One array.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Array {
    /// Its name, e.g. `md0`.
    pub device: String,
    /// `raid1`, `raid5` …
    pub level: String,
    /// `clean`, `active`, `inactive`, `broken` …
    pub state: String,
    /// Members it wants.
    pub disks: u64,
    /// Members it misses.
    pub degraded: u64,
    /// `idle`, `resync`, `recover`, `check` …
    pub action: String,
    /// Members marked faulty.
    pub faulty: Vec<String>,
}

/// Reads every array.
///
/// # Errors
/// [`HostError::Missing`] when there is none, or [`HostError`] of the folder.
pub fn read(host: &Host) -> Result<Vec<Array>, HostError> {
    let mut arrays = Vec::new();
    for device in host.list("sys/block")?.into_iter().filter(|name| name.starts_with("md")) {
        let folder = format!("sys/block/{device}/md");
        let text = |name: &str| host.read_line(&format!("{folder}/{name}")).unwrap_or_default();
        if !host.exists(&folder) {
            continue;
        }
        let members = host.list(&folder).unwrap_or_default();
        let faulty = members.iter().filter_map(|name| name.strip_prefix("dev-"));
        let faulty = faulty.filter(|name| text(&format!("dev-{name}/state")).contains("faulty"));
        arrays.push(Array {
            level: text("level"),
            state: text("array_state"),
            // While it grows this reads `3 (2)`: wanted, then before.
            disks: text("raid_disks").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0),
            degraded: text("degraded").parse().unwrap_or(0),
            action: text("sync_action"),
            faulty: faulty.map(str::to_owned).collect(),
            device,
        });
    }
    if arrays.is_empty() {
        return Err(HostError::Missing { path: "sys/block/md*".to_owned() });
    }
    Ok(arrays)
}
