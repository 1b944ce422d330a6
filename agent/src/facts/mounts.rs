//! Mounted filesystems and how full they are.

use muster_proto::clock::Mono;

use super::statfs::Usage;
use crate::host::{Host, HostError};

pub use super::statfs::PATIENCE;

/// Kinds that hold no files of anybody: they are listed, but never asked for room. (Asking an
/// `autofs` would mount what lies behind it.) The list is node_exporter's default.
pub const PSEUDO_KINDS: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// What is mounted, e.g. `/dev/vda1`, `nfs:/export`.
    pub device: String,
    /// Where; octal escapes resolved, bytes that are not UTF-8 as U+FFFD.
    pub mountpoint: String,
    /// Filesystem type, e.g. `ext4`.
    pub fstype: String,
    /// Device number, `major:minor`.
    pub major_minor: String,
    /// Options of this mount, comma separated.
    pub options: String,
    /// Options of the filesystem below it, comma separated.
    pub super_options: String,
    /// Its room.
    pub usage: Usage,
}

impl Mount {
    /// Whether nobody may write through this mount, be it by its own options or the filesystem's.
    pub fn is_readonly(&self) -> bool {
        has_option(&self.options, "ro") || has_option(&self.super_options, "ro")
    }

    /// Whether it is one of [`PSEUDO_KINDS`].
    pub fn is_pseudo(&self) -> bool {
        PSEUDO_KINDS.contains(&self.fstype.as_str())
    }
}

/// Whether `option` is one of the comma separated `options`.
pub fn has_option(options: &str, option: &str) -> bool {
    options.split(',').any(|one| one == option)
}

/// Reads the mounts of the first process (of our own where that is forbidden) and asks each real one
/// for its room. A mount that does not answer is [`Usage::Slow`], then [`Usage::Hung`]; it delays
/// this call by at most [`PATIENCE`], once.
///
/// # Errors
/// [`HostError`] of mountinfo.
pub fn read(host: &Host, now: Mono) -> Result<Vec<Mount>, HostError> {
    let text = host.read_bytes("proc/1/mountinfo").or_else(|error| match error {
        // A container's first process, or hidepid=2.
        HostError::Read { .. } | HostError::Missing { .. } => {
            host.read_bytes("proc/self/mountinfo")
        }
        other => Err(other),
    })?;
    let mut mounts = parse_mountinfo(&text)?;
    super::statfs::fill(host, &mut mounts, now)?;
    Ok(mounts)
}

/// Reads one mount a line. Where several are stacked on one mountpoint, the last one hides the
/// others and only it is kept.
///
/// # Shape
/// `36 35 98:0 /root /mnt/point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
///
/// # Errors
/// [`HostError::Malformed`].
///
/// # Source
/// proc_pid_mountinfo(5).
pub fn parse_mountinfo(text: &[u8]) -> Result<Vec<Mount>, HostError> {
    let mut mounts: Vec<Mount> = Vec::new();
    let mut seen = std::collections::HashMap::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mount = parse_line(line)
            .ok_or_else(|| HostError::malformed("mountinfo", &String::from_utf8_lossy(line)))?;
        match seen.get(&mount.mountpoint) {
            Some(&at) => mounts[at] = mount,
            None => {
                seen.insert(mount.mountpoint.clone(), mounts.len());
                mounts.push(mount);
            }
        }
    }
    Ok(mounts)
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let major_minor = words.nth(2)?;
    let mountpoint = words.nth(1)?;
    let options = words.next()?;
    // Optional fields end with a lone hyphen.
    words.find(|word| *word == b"-")?;
    Some(Mount {
        fstype: unescape(words.next()?),
        device: unescape(words.next()?),
        super_options: unescape(words.next().unwrap_or_default()),
        mountpoint: unescape(mountpoint),
        major_minor: unescape(major_minor),
        options: unescape(options),
        usage: Usage::NotAsked,
    })
}

/// Resolves `\040` and its kind.
fn unescape(word: &[u8]) -> String {
    if !word.contains(&b'\\') {
        return String::from_utf8_lossy(word).into_owned();
    }
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, after.first_chunk::<3>().and_then(octal)) {
            (b'\\', Some(escaped)) => {
                out.push(escaped);
                rest = &after[3..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str, &str)>) {
        let mounts = parse_mountinfo(line.as_bytes());
        let told = mounts.as_ref().ok().and_then(|mounts| mounts.first());
        let told = told.map(|m| (m.device.as_str(), m.mountpoint.as_str(), m.fstype.as_str()));
        assert_eq!(told, expected);
    }

    #[test]
    fn one_line_of_every_kind() {
        check("27 1 254:0 / / rw - ext4 /dev/vda rw", Some(("/dev/vda", "/", "ext4")));
        check("1 2 0:5 /a /b rw shared:1 master:2 - nfs s:/x rw", Some(("s:/x", "/b", "nfs")));
        check("1 2 0:5 / /a\\040b\\011c\\134 rw - xfs d rw", Some(("d", "/a b\tc\\", "xfs")));
        check("1 2 0:5 / /a\\9 rw - xfs d rw", Some(("d", "/a\\9", "xfs")));
        check("1 2 0:5 / /a rw - fuse  rw", Some(("", "/a", "fuse")));
        check("1 2 0:5 / /a rw ext4 d rw", None);
        check("1 2", None);
        check("", None);
    }

    #[test]
    fn readonly_by_the_mount_or_by_the_filesystem_below() {
        let is_readonly = |options: &str, super_options: &str| {
            let (options, super_options) = (options.to_owned(), super_options.to_owned());
            Mount { options, super_options, ..Mount::default() }.is_readonly()
        };
        assert!(is_readonly("ro,relatime", "rw"));
        assert!(is_readonly("rw", "rw,ro"));
        assert!(!is_readonly("rw,errors=remount-ro", "rw,root=ro1"));
    }
}
