//! `raid.md.degraded`: software RAID that misses a disk.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "raid.md.degraded",
    summary: "software RAID that misses a disk",
    manual: "CRIT when an array misses members or stopped working, WARN when a member is marked faulty (node-mixin). \
             While it rebuilds it stays CRIT and says so.",
    runbook: "mdadm --detail /dev/DEVICE; replace the disk, mdadm --add",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::MINUTE,
};

/// The check.
pub struct RaidMdDegraded;

impl Check for RaidMdDegraded {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(arrays) = out.need(&case.slow.raid) else { return };
        for array in arrays {
            let is_dead = matches!(array.state.as_str(), "inactive" | "broken");
            let verdict = match array {
                array if is_dead || array.degraded > 0 => Verdict::Crit,
                array if !array.faulty.is_empty() => Verdict::Warn,
                _ => Verdict::Ok,
            };
            let present = array.disks.saturating_sub(array.degraded);
            let mut message =
                format!("{} {}, {present} of {} disks", array.level, array.state, array.disks);
            if !array.action.is_empty() && array.action != "idle" {
                message.push_str(&format!(", {} runs", array.action));
            }
            if !array.faulty.is_empty() {
                message.push_str(&format!(", faulty: {}", array.faulty.join(" ")));
            }
            out.add(&array.device, verdict, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_missing_disk_is_critical() {
        check(
            "raid.md.degraded",
            "== sys/block/md0/md/level
raid1
== sys/block/md0/md/raid_disks
2
== sys/block/md0/md/degraded
1
== sys/block/md0/md/array_state
clean
== sys/block/md0/md/sync_action
recover
== sys/block/md0/md/dev-sdb1/state
faulty
",
            expect![[r#"
                crit md0: raid1 clean, 1 of 2 disks, recover runs, faulty: sdb1
            "#]],
        );
    }

    #[test]
    fn whole() {
        check(
            "raid.md.degraded",
            "== sys/block/md0/md/level
raid1
== sys/block/md0/md/raid_disks
2
== sys/block/md0/md/degraded
0
== sys/block/md0/md/array_state
active
== sys/block/md0/md/sync_action
idle
",
            expect![[r#"
                ok md0: raid1 active, 2 of 2 disks
            "#]],
        );
    }

    #[test]
    fn no_raid_no_check() {
        check(
            "raid.md.degraded",
            "== sys/block/sda/size
1
",
            expect![[""]],
        );
    }
}
