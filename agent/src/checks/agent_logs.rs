//! `agent.logs`: log sources that cannot be read or fall behind.

use std::time::Duration;

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;
use super::words;

const ABOUT: About = About {
    id: "agent.logs",
    summary: "log sources that cannot be read or fall behind",
    manual: "WARN for each log source that cannot be read or has more than 64 MiB unread, CRIT from 1024 MiB (own \
             figures): files wait on disk until they rotate away. WARN for all together when a file vanished before \
             it was read, within an hour.",
    runbook: "permissions of the file (group adm); see agent.spool and agent.upstream",
    urgency: Urgency::Ticket,
    scale: Scale::above(64.0, 1024.0, 16.0, "MiB behind"),
    pace: Pace::MINUTE,
};

/// Series of the bytes that were lost.
pub(super) const LOST: &str = "logs.lost";
const WINDOW: Duration = Duration::from_secs(3600);

/// The check.
pub struct AgentLogs;

impl Check for AgentLogs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(own) = &case.own else { return };
        let mut bad = 0_u64;
        for source in &own.logs {
            let behind_mib = source.behind_bytes as f64 / f64::from(1 << 20);
            let mut verdict = out.verdict_of(&source.name, behind_mib);
            if verdict == Verdict::Ok && source.unreadable.is_some() {
                verdict = Verdict::Warn;
            }
            // Ten thousand files that are well need no line each.
            let is_shown_bad = out.previous(&source.name).is_some_and(|shown| shown != Verdict::Ok);
            if verdict == Verdict::Ok && !is_shown_bad {
                continue;
            }
            bad += 1;
            let mut message = format!("{} behind", words::bytes(source.behind_bytes));
            if let Some(why) = &source.unreadable {
                message = format!("cannot be read: {why}; {message}");
            }
            out.add(&source.name, verdict, message);
        }
        let files = words::count(own.log_files, "file", "files");
        let need = if bad == 1 { "source needs" } else { "sources need" };
        let mut message = format!("{files} watched; {bad} {need} a look");
        let lost = case.history.growth(LOST, WINDOW).map_or(0, |growth| growth.grown as u64);
        if lost > 0 {
            message.push_str(&format!("; {} vanished unread in 1 h", words::bytes(lost)));
        }
        out.add("", if lost > 0 { Verdict::Warn } else { Verdict::Ok }, message);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::{check_own, check_own_minutes};
    use crate::checks::own::{LogFacts, OwnFacts};

    #[test]
    fn only_sources_that_need_a_look_are_named() {
        let source = |name: &str, why: Option<&str>, behind_bytes| LogFacts {
            name: name.to_owned(),
            unreadable: why.map(str::to_owned),
            behind_bytes,
        };
        let logs = vec![
            source("/var/log/syslog", None, 100),
            source("/var/log/secret.log", Some("Permission denied (os error 13)"), 0),
            source("/var/log/flood.log", None, 2 << 30),
        ];
        check_own(
            "agent.logs",
            &OwnFacts { log_files: 400, logs, ..OwnFacts::default() },
            expect![[r#"
            warn /var/log/secret.log: cannot be read: Permission denied (os error 13); 0 B behind
            crit /var/log/flood.log: 2.0 GiB behind
            ok: 400 files watched; 2 sources need a look
        "#]],
        );
    }

    #[test]
    fn files_that_vanished_unread_are_bad_for_an_hour() {
        let lost = |log_lost_bytes| OwnFacts { log_lost_bytes, log_files: 1, ..Default::default() };
        let story = [lost(0), lost(3 << 20), lost(3 << 20)];
        check_own_minutes(
            "agent.logs",
            &story,
            expect![[r#"
                warn: 1 file watched; 0 sources need a look; 3.0 MiB vanished unread in 1 h
            "#]],
        );
        check_own_minutes(
            "agent.logs",
            &[lost(3 << 20), lost(3 << 20)],
            expect![[r#"
                ok: 1 file watched; 0 sources need a look
            "#]],
        );
    }
}
