//! Counters of block devices: `/proc/diskstats`.

use procfs::FromRead;

use crate::host::{Host, HostError};

/// One block device; field names and units are the procfs crate's (times in milliseconds, sectors of
/// 512 bytes).
pub type Disk = procfs::DiskStat;

/// Bytes of a sector in `/proc/diskstats`, whatever the device's own sector size.
pub const SECTOR_BYTES: u64 = 512;

/// Reads `proc/diskstats`.
///
/// # Errors
/// [`HostError`] of the file, or [`HostError::Malformed`].
pub fn read(host: &Host) -> Result<Vec<Disk>, HostError> {
    parse_diskstats(&host.read("proc/diskstats")?)
}

/// Reads one device a line. Kernels before 4.18 have no discards, before 5.5 no flushes.
///
/// # Errors
/// [`HostError::Malformed`] for a line with fewer than 14 words.
///
/// # Source
/// Documentation/admin-guide/iostats.rst of the kernel.
pub fn parse_diskstats(text: &str) -> Result<Vec<Disk>, HostError> {
    procfs::DiskStats::from_read(text.as_bytes()).map(|disks| disks.0).map_err(|_| {
        let short = |line: &&str| line.split_ascii_whitespace().count() < 14;
        HostError::malformed("diskstats", text.lines().find(short).unwrap_or_default())
    })
}
