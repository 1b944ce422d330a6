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
    manual: "WARN for each log source that cannot be read, lost records within an hour or has more than 64 MiB \
             unread; CRIT from 1024 MiB unread (own figures). Files wait on disk until they rotate away.",
    runbook: "permissions of the file (group adm); see agent.spool and agent.upstream",
    urgency: Urgency::Ticket,
    scale: Scale::above(64.0, 1024.0, 16.0, "MiB behind"),
    pace: Pace::MINUTE,
};

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
            let lost = case.history.growth(&format!("logs.lost {}", source.name), WINDOW);
            let lost = lost.map_or(0, |growth| growth.grown as u64);
            let mut verdict = out.verdict_of(&source.name, behind_mib);
            if verdict == Verdict::Ok && (lost > 0 || source.unreadable.is_some()) {
                verdict = Verdict::Warn;
            }
            // Ten thousand files that are well need no line each.
            let is_shown_bad = out.previous(&source.name).is_some_and(|shown| shown != Verdict::Ok);
            if verdict == Verdict::Ok && !is_shown_bad {
                continue;
            }
            bad += 1;
            let lost = words::count(lost, "record", "records");
            let mut message =
                format!("{} behind, {lost} lost in 1 h", words::bytes(source.behind_bytes));
            if let Some(why) = &source.unreadable {
                message = format!("cannot be read: {why}; {message}");
            }
            out.add(&source.name, verdict, message);
        }
        out.add("", Verdict::Ok, format!("{bad} of {} sources need a look", own.logs.len()));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check_own;
    use crate::checks::own::{LogFacts, OwnFacts};

    #[test]
    fn only_sources_that_need_a_look_are_named() {
        let source = |name: &str, why: Option<&str>, behind_bytes| LogFacts {
            name: name.to_owned(),
            unreadable: why.map(str::to_owned),
            behind_bytes,
            lost: 5,
        };
        let logs = vec![
            source("/var/log/syslog", None, 100),
            source("/var/log/secret.log", Some("Permission denied (os error 13)"), 0),
            source("/var/log/flood.log", None, 2 << 30),
        ];
        check_own(
            "agent.logs",
            &OwnFacts { logs, ..OwnFacts::default() },
            expect![[r#"
            warn /var/log/secret.log: cannot be read: Permission denied (os error 13); 0 B behind, 0 records lost in 1 h
            crit /var/log/flood.log: 2.0 GiB behind, 0 records lost in 1 h
            ok: 2 of 3 sources need a look
        "#]],
        );
    }
}
