//! `fs.space`: room left on each filesystem of this machine.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::{evidence, filesystems, words};
use crate::facts::statfs::{Room, Usage};

const ABOUT: About = About {
    id: "fs.space",
    summary: "room on each filesystem of this machine",
    manual: "What an ordinary user may still write, in percent of what users can fill. WARN below 7 %, CRIT below \
             4 % for five minutes, left 2 % later. Above 1 TiB it must also be less than 50 GiB (WARN) or 20 GiB \
             (CRIT): 4 % of a large disk is a lot of room. Network and memory filesystems are not asked. \
             Delete what grew, vacuum the journal, look for deleted files that are still open.",
    runbook: "find what grew (du -x, journalctl --vacuum-size, lsof +L1), or extend the filesystem",
    urgency: Urgency::Page,
    scale: Scale::below(7.0, 4.0, 2.0, "% free"),
    pace: Pace::MINUTES_5,
};

/// From this size on room is also judged in bytes.
const LARGE_BYTES: u64 = 1 << 40;
/// Room on a large filesystem. GiB; own figures, no percentage fits them.
const LARGE: Scale = Scale::below(50.0, 20.0, 5.0, "GiB free");

/// The check.
pub struct FsSpace;

impl Check for FsSpace {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(mounts) = out.need_still(&case.facts.mounts) else { return };
        for mount in filesystems::on_disk(mounts) {
            let name = mount.mountpoint.as_str();
            let is_known = out.previous(name).is_some();
            match &mount.usage {
                // An image that was always full and never writable has no room to lose.
                Usage::Known(_) if filesystems::is_read_only(mount) && !is_known => {}
                Usage::Known(room) if room.size_bytes == 0 => {}
                Usage::Known(room) => judge_room(case, out, name, room),
                Usage::Hung | Usage::Slow => {
                    out.add(name, Verdict::Unknown, "does not answer statfs(2)")
                }
                Usage::Failed(why) if is_known => {
                    out.add(name, Verdict::Unknown, format!("refuses: {why}"))
                }
                Usage::Failed(_) | Usage::NotAsked => {}
            }
        }
    }
}

fn judge_room(case: &Case, out: &mut Findings<'_>, name: &str, room: &Room) {
    let used = room.size_bytes.saturating_sub(room.free_bytes);
    let fillable = used.saturating_add(room.avail_bytes);
    let free = words::percent(room.avail_bytes, fillable);
    let mut verdict = out.verdict_of(name, free);
    if room.size_bytes > LARGE_BYTES {
        let gib = room.avail_bytes as f64 / f64::from(1 << 30);
        let absolute = LARGE.judge(gib, out.previous(name));
        if absolute.badness() < verdict.badness() {
            verdict = absolute;
        }
    }
    let message = format!(
        "{free:.1}% free ({} of {})",
        words::bytes(room.avail_bytes),
        words::bytes(fillable)
    );
    out.add_with(name, verdict, message, || evidence::fullest_mounts(case));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    const MOUNTS: &str = "== proc/1/mountinfo
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 254:0 /srv /srv/bind rw,relatime - ext4 /dev/vda rw
29 27 0:50 / /net rw - nfs4 nas:/x rw
30 27 0:51 / /run rw - tmpfs tmpfs rw
31 27 8:16 / /big rw - xfs /dev/sdb rw
32 27 8:32 / /iso ro - ext4 /dev/sdc ro
33 27 8:48 / /stuck rw - ext4 /dev/sdd rw
34 27 0:22 / /proc rw - proc proc rw
";

    #[test]
    fn judges_percent_and_bytes() {
        let statfs = "== recorded/statfs
/ 100000 6000 5000 0 0
/net 100 0 0 0 0
/run 100 0 0 0 0
/big 4398046511104 107374182400 107374182400 0 0
/iso 100 0 0 0 0
/stuck hung
";
        check(
            "fs.space",
            &format!("{MOUNTS}{statfs}"),
            expect![[r#"
                warn /: 5.1% free (4.9 KiB of 96.7 KiB)
                ok /big: 2.4% free (100 GiB of 4.0 TiB)
                unknown /stuck: does not answer statfs(2)
            "#]],
        );
    }

    #[test]
    fn mountinfo_that_is_no_mountinfo_is_no_all_clear() {
        check(
            "fs.space",
            "== proc/1/mountinfo\nrubbish\n",
            expect![[r#"
                unknown: cannot tell: mountinfo says "rubbish", which is not understood
            "#]],
        );
    }
}
