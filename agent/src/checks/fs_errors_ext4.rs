//! `fs.errors.ext4`: errors ext4 wrote into its superblock.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "fs.errors.ext4",
    summary: "errors ext4 wrote into its superblock",
    manual: "WARN when ext4 counts any error since the last fsck, CRIT when the last one is less than a day old. The \
             count survives reboots until fsck clears it.",
    runbook: "plan a reboot with fsck (touch /forcefsck or tune2fs -C); check the disk below it",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::AT_ONCE,
};

const FRESH_S: u64 = 86_400;

/// The check.
pub struct FsErrorsExt4;

impl Check for FsErrorsExt4 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(filesystems) = out.need(&case.slow.ext4) else { return };
        let now_s = u64::try_from(case.facts.clock.utc.as_secs()).unwrap_or(0);
        for fs in filesystems {
            if fs.errors == 0 {
                out.add(&fs.device, Verdict::Ok, "no errors");
                continue;
            }
            let age_s = now_s.saturating_sub(fs.last_at_s);
            let verdict = if age_s < FRESH_S { Verdict::Crit } else { Verdict::Warn };
            let errors = words::count(fs.errors, "error", "errors");
            let (age, place) = (words::span(age_s), &fs.last_function);
            out.add(&fs.device, verdict, format!("{errors}, the last one {age} ago in {place}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn fresh_errors_are_worse_than_old_ones() {
        check(
            "fs.errors.ext4",
            "== sys/fs/ext4/features/lazy_itable_init
supported
== sys/fs/ext4/sda1/errors_count
0
== sys/fs/ext4/sdb1/errors_count
3
== sys/fs/ext4/sdb1/last_error_time
1767222000
== sys/fs/ext4/sdb1/last_error_func
ext4_lookup
== sys/fs/ext4/sdc1/errors_count
1
== sys/fs/ext4/sdc1/last_error_time
1764547200
",
            expect![[r#"
                ok sda1: no errors
                crit sdb1: 3 errors, the last one 1 h 0 min ago in ext4_lookup
                warn sdc1: 1 error, the last one 31 d 0 h ago in 
            "#]],
        );
    }
}
