//! `fs.hung`: mounts that do not answer.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::filesystems;
use super::findings::Findings;
use super::gather::Case;
use crate::facts::statfs::Usage;

const ABOUT: About = About {
    id: "fs.hung",
    summary: "mounts that do not answer",
    manual: "CRIT when statfs(2) of a mount has no answer for five seconds (node_exporter's mount timeout) in two \
             looks half a minute apart, or when its handle is stale. Only this check waits for it. Look at the \
             server; a mount that will not come back goes with `umount -l`.",
    runbook: "is the server up? umount -l MOUNT frees the path, processes in D state stay until it answers",
    urgency: Urgency::Page,
    scale: Scale::PLAIN,
    pace: Pace::of(2, 15, 2, 60),
};

/// The check.
pub struct FsHung;

impl Check for FsHung {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(mounts) = out.need_still(&case.facts.mounts) else { return };
        for mount in filesystems::holding_files(mounts) {
            if filesystems::is_memory(mount) {
                continue;
            }
            let (verdict, message) = match &mount.usage {
                Usage::Known(_) => (Verdict::Ok, "answers".to_owned()),
                Usage::Slow => (Verdict::Ok, "no answer yet".to_owned()),
                Usage::Hung => (Verdict::Crit, "does not answer".to_owned()),
                Usage::Failed(why) if why.contains("tale") => (Verdict::Crit, why.clone()),
                Usage::Failed(why) => (Verdict::Ok, format!("answers with a refusal: {why}")),
                Usage::NotAsked => continue,
            };
            out.add(
                &mount.mountpoint,
                verdict,
                format!("{message} ({} on {})", mount.fstype, mount.device),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_stuck_mount_costs_only_itself() {
        check(
            "fs.hung",
            "== proc/1/mountinfo
27 1 254:0 / / rw - ext4 /dev/vda rw
29 27 0:50 / /net rw - nfs4 nas:/x rw
30 27 0:51 / /slow rw - nfs4 nas:/y rw
== recorded/statfs
/ 100 90 90 0 0
/net hung
/slow slow
",
            expect![[r#"
                ok /: answers (ext4 on /dev/vda)
                crit /net: does not answer (nfs4 on nas:/x)
                ok /slow: no answer yet (nfs4 on nas:/y)
            "#]],
        );
    }
}
