//! `fs.tmpfs`: room in the memory filesystems everybody needs.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;
use crate::facts::statfs::Usage;

const ABOUT: About = About {
    id: "fs.tmpfs",
    summary: "room in /run, /dev/shm and /tmp where they lie in memory",
    manual: "Used part of tmpfs at /run, /dev/shm and /tmp. WARN from 80 %, CRIT from 95 % (own figures). A full /run \
             stops systemd from starting anything, and all of it is memory.",
    runbook: "du -x -d 2 MOUNT | sort -n | tail; a larger size= helps only while memory lasts",
    urgency: Urgency::Ticket,
    scale: Scale::above(80.0, 95.0, 5.0, "% used"),
    pace: Pace::MINUTES_5,
};

/// The check.
pub struct FsTmpfs;

impl Check for FsTmpfs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(mounts) = out.need_still(&case.facts.mounts) else { return };
        let ours = ["/run", "/dev/shm", "/tmp"];
        for mount in
            mounts.iter().filter(|m| m.fstype == "tmpfs" && ours.contains(&m.mountpoint.as_str()))
        {
            let Usage::Known(room) = &mount.usage else { continue };
            let used = room.size_bytes.saturating_sub(room.free_bytes);
            let percent = words::percent(used, room.size_bytes);
            let (used, size) = (words::bytes(used), words::bytes(room.size_bytes));
            out.level(&mount.mountpoint, percent, format!("{percent:.1}% used ({used} of {size})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn only_the_common_ones() {
        check(
            "fs.tmpfs",
            "== proc/1/mountinfo
27 1 0:20 / /run rw - tmpfs tmpfs rw
28 1 0:21 / /run/user/0 rw - tmpfs tmpfs rw
29 1 254:0 / /tmp rw - ext4 /dev/vda rw
== recorded/statfs
/run 1000 40 40 0 0
/run/user/0 1000 0 0 0 0
/tmp 1000 0 0 0 0
",
            expect![[r#"
                crit /run: 96.0% used (960 B of 1000 B)
            "#]],
        );
    }
}
