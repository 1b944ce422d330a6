//! Which mounts the filesystem checks speak of.

use crate::facts::mounts::{Mount, has_option};

/// Where the bytes lie on another machine: its own checks watch their room, not a thousand clients'.
const NETWORK_KINDS: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "ceph",
    "lustre",
    "afs",
    "glusterfs",
    "virtiofs",
    "ncpfs",
];

/// Every mount that holds somebody's files, each filesystem once: of bind mounts the shortest path speaks.
pub(super) fn holding_files(mounts: &[Mount]) -> Vec<&Mount> {
    let mut found: Vec<&Mount> = Vec::new();
    for mount in mounts.iter().filter(|mount| !mount.is_pseudo()) {
        match found.iter_mut().find(|other| other.major_minor == mount.major_minor) {
            Some(other) if mount.mountpoint.len() < other.mountpoint.len() => *other = mount,
            Some(_) => {}
            None => found.push(mount),
        }
    }
    found
}

/// Those of [`holding_files`] on a disk of this machine.
pub(super) fn on_disk(mounts: &[Mount]) -> Vec<&Mount> {
    let mut found = holding_files(mounts);
    found.retain(|mount| !is_network(mount) && !is_memory(mount));
    found
}

/// Whether its files lie on another machine.
pub(super) fn is_network(mount: &Mount) -> bool {
    NETWORK_KINDS.contains(&mount.fstype.as_str()) || mount.fstype.starts_with("fuse.")
}

/// Whether its files lie in memory.
pub(super) fn is_memory(mount: &Mount) -> bool {
    matches!(mount.fstype.as_str(), "tmpfs" | "ramfs" | "zram")
}

/// Whether nothing can be written to it now, by its own options or by the filesystem's.
pub(super) fn is_read_only(mount: &Mount) -> bool {
    let options = [&mount.options, &mount.super_options];
    options
        .into_iter()
        .any(|options| has_option(options, "ro") || has_option(options, "emergency_ro"))
}
