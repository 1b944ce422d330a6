//! `net.conntrack_drop`: packets lost by connection tracking.

use std::time::Duration;

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "net.conntrack_drop",
    summary: "packets lost by connection tracking",
    manual: "Packets the tracking table dropped or could not insert, each second over ten minutes. WARN from 0.01, \
             CRIT from 1 (own figures).",
    runbook: "see net.conntrack; early drops mean the table was full",
    urgency: Urgency::Page,
    scale: Scale::above(0.01, 1.0, 0.0, "/s"),
    pace: Pace::MINUTE,
};

const WINDOW: Duration = Duration::from_secs(600);

/// The check.
pub struct NetConntrackDrop;

impl Check for NetConntrackDrop {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let _conntrack = out.need(&case.facts.conntrack);
        let Some(growth) = case.history.growth("conntrack.drop", WINDOW) else { return };
        let rate = growth.per_second();
        out.level("", rate, format!("{rate:.2} packets lost a second, {} in all", growth.grown));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn without_counters_no_check() {
        check(
            "net.conntrack_drop",
            "== proc/sys/net/netfilter/nf_conntrack_count
95
== proc/sys/net/netfilter/nf_conntrack_max
100
== +60
",
            expect![[""]],
        );
    }

    #[test]
    fn two_a_second_are_critical() {
        check(
            "net.conntrack_drop",
            "== proc/sys/net/netfilter/nf_conntrack_count\n95\n== proc/sys/net/netfilter/nf_conntrack_max\n100\n== proc/net/stat/nf_conntrack\nentries searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error expect_new expect_create expect_delete search_restart\n00000001 0 0 0 0 0 0 0 0 0 00000001 0 0 0 0 0 0\n== +60\n== proc/net/stat/nf_conntrack\nentries searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error expect_new expect_create expect_delete search_restart\n00000001 0 0 0 0 0 0 0 0 0 00000079 0 0 0 0 0 0\n",
            expect![[r#"
                crit: 2.00 packets lost a second, 120 in all
            "#]],
        );
    }
}
