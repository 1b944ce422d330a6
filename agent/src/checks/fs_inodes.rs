//! `fs.inodes`: inodes left on each filesystem that has a fixed number of them.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::{filesystems, words};
use crate::facts::statfs::Usage;

const ABOUT: About = About {
    id: "fs.inodes",
    summary: "inodes left on each filesystem that has a fixed number of them",
    manual: "Free inodes in percent of all. WARN below 10 %, CRIT below 5 % (Checkmk's levels). A filesystem without \
             inodes cannot make a file although it has room. Find the directory with the most entries.",
    runbook: "find the directory with the most entries: du --inodes -x -d 3 MOUNT | sort -n | tail",
    urgency: Urgency::Page,
    scale: Scale::below(10.0, 5.0, 1.0, "% free"),
    pace: Pace::MINUTES_5,
};

/// The check.
pub struct FsInodes;

impl Check for FsInodes {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(mounts) = out.need_still(&case.facts.mounts) else { return };
        for mount in filesystems::on_disk(mounts) {
            let name = mount.mountpoint.as_str();
            let is_known = out.previous(name).is_some();
            match &mount.usage {
                Usage::Known(_) if filesystems::is_read_only(mount) && !is_known => {}
                Usage::Known(room) if room.files > 0 => {
                    let free = words::percent(room.files_free, room.files);
                    let message = format!("{free:.1}% of {} inodes free", room.files);
                    out.level(name, free, message);
                }
                Usage::Hung | Usage::Slow if is_known => {
                    out.add(name, Verdict::Unknown, "does not answer statfs(2)");
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn only_where_inodes_are_counted() {
        check(
            "fs.inodes",
            "== proc/1/mountinfo
27 1 254:0 / / rw - ext4 /dev/vda rw
28 27 8:1 / /btrfs rw - btrfs /dev/sda1 rw
== recorded/statfs
/ 100 90 90 1000 40
/btrfs 100 90 90 0 0
",
            expect![[r#"
                crit /: 4.0% of 1000 inodes free
            "#]],
        );
    }
}
