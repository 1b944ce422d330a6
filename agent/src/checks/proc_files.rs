//! `proc.files`: open files of the whole machine.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "proc.files",
    summary: "open files of the whole machine",
    manual: "File handles in percent of fs.file-max. WARN from 70 %, CRIT from 90 % (node-mixin).",
    runbook: "lsof | cut -d' ' -f1 | sort | uniq -c | sort -n | tail; raise fs.file-max",
    urgency: Urgency::Ticket,
    scale: Scale::above(70.0, 90.0, 5.0, "% used"),
    pace: Pace::MINUTES_5,
};

/// The check.
pub struct ProcFiles;

impl Check for ProcFiles {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(files) = out.need(&case.facts.filefd) else { return };
        out.used("", files.allocated, files.maximum);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn nearly_none_left() {
        check(
            "proc.files",
            "== proc/sys/fs/file-nr
95 0 100
",
            expect![[r#"
                crit: 95.0% used (95 of 100)
            "#]],
        );
    }

    #[test]
    fn no_limit_is_no_problem() {
        check(
            "proc.files",
            "== proc/sys/fs/file-nr
593 0 9223372036854775807
",
            expect![[r#"
                ok: 0.0% used (593 of 9223372036854775807)
            "#]],
        );
    }
}
