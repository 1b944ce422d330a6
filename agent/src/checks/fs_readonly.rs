//! `fs.readonly`: filesystems that should be writable and are not.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::filesystems;
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "fs.readonly",
    summary: "filesystems that should be writable and are not",
    manual: "CRIT when a filesystem is read-only (by its mount or by the filesystem itself, after an error) while \
             fstab does not say `ro`; without a line in fstab, when it was writable at first sight. The kernel \
             makes a broken filesystem read-only: look at its log before anything else.",
    runbook: "dmesg -T | grep -i -e ext4 -e xfs -e i/o; then fsck on the next boot or replace the disk",
    urgency: Urgency::Page,
    scale: Scale::PLAIN,
    pace: Pace::MINUTE,
};

/// The check.
pub struct FsReadonly;

impl Check for FsReadonly {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(mounts) = out.need_still(&case.facts.mounts) else { return };
        let fstab = case.slow.fstab.as_deref().unwrap_or_default();
        for mount in filesystems::on_disk(mounts) {
            let name = mount.mountpoint.as_str();
            let now = if filesystems::is_read_only(mount) { "read-only" } else { "writable" };
            let expected = match fstab.iter().find(|line| line.mountpoint == name) {
                Some(line) if line.has("ro") => "read-only".to_owned(),
                Some(_) => "writable".to_owned(),
                None => out.baseline(name, now),
            };
            let is_bad = now == "read-only" && expected == "writable";
            if now == "writable" && expected == "read-only" {
                out.relearn(name, now);
            }
            let verdict = if is_bad { Verdict::Crit } else { Verdict::Ok };
            let should = if is_bad { ", should be writable" } else { "" };
            let message = format!("{now}{should} ({} on {})", mount.fstype, mount.device);
            out.add_with(name, verdict, message, || {
                format!(
                    "mount options: {}\nfilesystem options: {}\n",
                    mount.options, mount.super_options
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn fstab_and_first_sight_say_what_is_expected() {
        check(
            "fs.readonly",
            "== etc/fstab
/dev/vda / ext4 errors=remount-ro 0 1
/dev/sdb /image ext4 ro 0 1
== proc/1/mountinfo
27 1 254:0 / / rw - ext4 /dev/vda ro
28 27 8:16 / /image ro - ext4 /dev/sdb ro
29 27 8:32 / /once rw - ext4 /dev/sdc rw
30 27 8:48 / /never ro - ext4 /dev/sdd ro
== +60
== proc/1/mountinfo
27 1 254:0 / / rw - ext4 /dev/vda ro
28 27 8:16 / /image ro - ext4 /dev/sdb ro
29 27 8:32 / /once rw - ext4 /dev/sdc rw,emergency_ro
30 27 8:48 / /never ro - ext4 /dev/sdd ro
",
            expect![[r#"
                crit /: read-only, should be writable (ext4 on /dev/vda)
                ok /image: read-only (ext4 on /dev/sdb)
                crit /once: read-only, should be writable (ext4 on /dev/sdc)
                ok /never: read-only (ext4 on /dev/sdd)
            "#]],
        );
    }
}
