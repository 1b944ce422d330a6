//! Block devices: counters, and what udev knows of each.

use super::{Collector, Given, Memo, Out};
use crate::facts::diskstats::{self, Disk, SECTOR_BYTES};
use crate::host::{Host, HostError};

/// The collector.
pub struct Diskstats;

impl Collector for Diskstats {
    fn name(&self) -> &'static str {
        "diskstats"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        for disk in diskstats::read(given.host)? {
            if !given.settings.disks_exclude.is_match(&disk.name) {
                put_counters(&disk, out);
                put_info(given.host, &disk, out);
            }
        }
        Ok(())
    }
}

fn put_counters(disk: &Disk, out: &mut Out<'_>) {
    let labels = [("device", disk.name.as_str())];
    let bytes = |sectors: u64| sectors.saturating_mul(SECTOR_BYTES) as f64;
    let seconds = |ms: u64| ms as f64 / 1e3;
    let count = |number: u64| number as f64;
    for (name, value) in [
        ("node_disk_reads_completed_total", Some(count(disk.reads))),
        ("node_disk_reads_merged_total", Some(count(disk.merged))),
        ("node_disk_read_bytes_total", Some(bytes(disk.sectors_read))),
        ("node_disk_read_time_seconds_total", Some(seconds(disk.time_reading))),
        ("node_disk_writes_completed_total", Some(count(disk.writes))),
        ("node_disk_writes_merged_total", Some(count(disk.writes_merged))),
        ("node_disk_written_bytes_total", Some(bytes(disk.sectors_written))),
        ("node_disk_write_time_seconds_total", Some(seconds(disk.time_writing))),
        ("node_disk_io_time_seconds_total", Some(seconds(disk.time_in_progress))),
        ("node_disk_io_time_weighted_seconds_total", Some(seconds(disk.weighted_time_in_progress))),
        ("node_disk_discards_completed_total", disk.discards.map(count)),
        ("node_disk_discards_merged_total", disk.discards_merged.map(count)),
        ("node_disk_discarded_sectors_total", disk.sectors_discarded.map(count)),
        ("node_disk_discard_time_seconds_total", disk.time_discarding.map(seconds)),
        ("node_disk_flush_requests_total", disk.flushes.map(count)),
        ("node_disk_flush_requests_time_seconds_total", disk.time_flushing.map(seconds)),
    ] {
        if let Some(value) = value {
            out.counter(name, &labels, value);
        }
    }
    out.gauge("node_disk_io_now", &labels, count(disk.in_progress));
}

/// Without a udev database (containers, early boot) the labels are empty, as upstream.
fn put_info(host: &Host, disk: &Disk, out: &mut Out<'_>) {
    let (major, minor) = (disk.major.to_string(), disk.minor.to_string());
    let text = host.read(&format!("run/udev/data/b{major}:{minor}")).unwrap_or_default();
    let udev = Udev { text: &text };
    let device = disk.name.as_str();
    let rotational = host.read_line(&format!("sys/block/{device}/queue/rotational"));
    let rotational = rotational.unwrap_or_default();
    let labels = [
        ("device", device),
        ("major", &major),
        ("minor", &minor),
        ("model", udev.property("ID_MODEL")),
        ("path", udev.property("ID_PATH")),
        ("revision", udev.property("ID_REVISION")),
        ("rotational", &rotational),
        ("serial", udev.either("SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT")),
        ("wwn", udev.property("ID_WWN")),
    ];
    out.gauge("node_disk_info", &labels, 1.0);
    put_layers(device, &udev, out);
}

fn put_layers(device: &str, udev: &Udev<'_>, out: &mut Out<'_>) {
    if !udev.property("DM_NAME").is_empty() {
        let labels = [
            ("device", device),
            ("lv_layer", udev.property("DM_LV_LAYER")),
            ("lv_name", udev.property("DM_LV_NAME")),
            ("name", udev.property("DM_NAME")),
            ("uuid", udev.property("DM_UUID")),
            ("vg_name", udev.property("DM_VG_NAME")),
        ];
        out.gauge("node_disk_device_mapper_info", &labels, 1.0);
    }
    if !udev.property("ID_FS_USAGE").is_empty() {
        let labels = [
            ("device", device),
            ("type", udev.property("ID_FS_TYPE")),
            ("usage", udev.property("ID_FS_USAGE")),
            ("uuid", udev.property("ID_FS_UUID")),
            ("version", udev.property("ID_FS_VERSION")),
        ];
        out.gauge("node_disk_filesystem_info", &labels, 1.0);
    }
    if !udev.property("ID_ATA").is_empty() {
        for (name, property) in [
            ("node_disk_ata_write_cache", "ID_ATA_WRITE_CACHE"),
            ("node_disk_ata_write_cache_enabled", "ID_ATA_WRITE_CACHE_ENABLED"),
            ("node_disk_ata_rotation_rate_rpm", "ID_ATA_ROTATION_RATE_RPM"),
        ] {
            if let Ok(value) = udev.property(property).parse() {
                out.gauge(name, &[("device", device)], value);
            }
        }
    }
}

/// One file of udev's database: lines `E:NAME=value`.
struct Udev<'a> {
    text: &'a str,
}

impl<'a> Udev<'a> {
    fn property(&self, name: &str) -> &'a str {
        let pairs = self.text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn either(&self, name: &str, other: &str) -> &'a str {
        match self.property(name) {
            "" => self.property(other),
            found => found,
        }
    }
}
