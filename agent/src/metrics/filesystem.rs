//! Room of filesystems. A mount that does not answer has `device_error` 1 and no sizes.

use super::{Collector, Given, Memo, Out};
use crate::facts::{mounts, statfs::Usage};
use crate::host::HostError;

/// The collector.
pub struct Filesystem;

impl Collector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        for mount in mounts::read(given.host, given.clock.mono)? {
            let settings = given.settings;
            if !settings.mounts_exclude.is_match(&mount.mountpoint)
                && !settings.fstypes_exclude.is_match(&mount.fstype)
            {
                put(&mount, out);
            }
        }
        Ok(())
    }
}

fn put(mount: &mounts::Mount, out: &mut Out<'_>) {
    let error = match &mount.usage {
        Usage::NotAsked | Usage::Known(_) => "",
        Usage::Slow => return,
        Usage::Hung => "mountpoint timeout",
        Usage::Failed(why) => why,
    };
    let labels = [
        ("device", mount.device.as_str()),
        ("device_error", error),
        ("fstype", &mount.fstype),
        ("mountpoint", &mount.mountpoint),
    ];
    // Releases before 1.10 have no label `device_error`; to Prometheus an empty one is none.
    let healthy = [labels[0], labels[2], labels[3]];
    let labels = if error.is_empty() { healthy.as_slice() } else { labels.as_slice() };
    out.gauge("node_filesystem_device_error", labels, f64::from(!error.is_empty()));
    out.gauge("node_filesystem_readonly", labels, f64::from(mount.is_readonly()));
    if let Usage::Known(room) = &mount.usage {
        for (name, value) in [
            ("node_filesystem_size_bytes", room.size_bytes),
            ("node_filesystem_free_bytes", room.free_bytes),
            ("node_filesystem_avail_bytes", room.avail_bytes),
            ("node_filesystem_files", room.files),
            ("node_filesystem_files_free", room.files_free),
        ] {
            out.gauge(name, labels, value as f64);
        }
    }
    if let Some((major, minor)) = mount.major_minor.split_once(':') {
        let labels = [
            ("device", mount.device.as_str()),
            ("major", major),
            ("minor", minor),
            ("mountpoint", &mount.mountpoint),
        ];
        out.gauge("node_filesystem_mount_info", &labels, 1.0);
    }
}
