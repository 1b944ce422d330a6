//! `net.conntrack`: room in the connection tracking table.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "net.conntrack",
    summary: "room in the connection tracking table",
    manual: "Tracked connections in percent of the table. WARN from 80 %, CRIT from 90 % (Wikimedia). A full table \
             drops every new connection.",
    runbook: "conntrack -L | cut -d= -f2 | sort | uniq -c | sort -n | tail; raise net.netfilter.nf_conntrack_max",
    urgency: Urgency::Page,
    scale: Scale::above(80.0, 90.0, 5.0, "% used"),
    pace: Pace::MINUTE,
};

/// The check.
pub struct NetConntrack;

impl Check for NetConntrack {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(conntrack) = out.need(&case.facts.conntrack) else { return };
        if conntrack.limit == 0 {
            return;
        }
        out.used("", conntrack.entries, conntrack.limit);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_full_table() {
        check(
            "net.conntrack",
            "== proc/sys/net/netfilter/nf_conntrack_count
95
== proc/sys/net/netfilter/nf_conntrack_max
100
",
            expect![[r#"
                crit: 95.0% used (95 of 100)
            "#]],
        );
    }

    #[test]
    fn not_loaded_no_check() {
        check("net.conntrack", "", expect![[""]]);
    }
}
