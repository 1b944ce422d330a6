//! `fs.mount_missing`: what fstab wants mounted and is not.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "fs.mount_missing",
    summary: "what fstab wants mounted and is not",
    manual: "CRIT when a line of /etc/fstab is not mounted for five minutes, unless it says noauto, nofail or \
             x-systemd.automount. Whoever writes there meanwhile fills the directory below.",
    runbook: "systemctl status $(systemd-escape -p --suffix=mount MOUNT); mount MOUNT",
    urgency: Urgency::Page,
    scale: Scale::PLAIN,
    pace: Pace::MINUTES_5,
};

/// The check.
pub struct FsMountMissing;

impl Check for FsMountMissing {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(fstab) = out.need(&case.slow.fstab) else { return };
        let Some(mounts) = out.need_still(&case.facts.mounts) else { return };
        for line in fstab.iter().filter(|line| line.is_required()) {
            let is_mounted = mounts.iter().any(|mount| mount.mountpoint == line.mountpoint);
            let (verdict, word) =
                if is_mounted { (Verdict::Ok, "mounted") } else { (Verdict::Crit, "not mounted") };
            out.add(
                &line.mountpoint,
                verdict,
                format!("{word} ({} on {})", line.fstype, line.source),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn optional_lines_are_not_missed() {
        check(
            "fs.mount_missing",
            "== etc/fstab
/dev/vda / ext4 defaults
/dev/sdb /data xfs defaults
/dev/sdc /usb ext4 nofail
/dev/sdd none swap sw
== proc/1/mountinfo
27 1 254:0 / / rw - ext4 /dev/vda rw
",
            expect![[r#"
                ok /: mounted (ext4 on /dev/vda)
                crit /data: not mounted (xfs on /dev/sdb)
            "#]],
        );
    }
}
