//! One datacenter: what two agents log is found on two aggregators, once, also when one of them is
//! upgraded under load and the other reboots.

use std::time::Duration;

use muster_tests::fleet::{Fleet, Numbered, Plan, Release, Role};
use muster_tests::rig::{Tally, eventually, text};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn hosts_and_their_lines_are_found_also_after_an_upgrade_and_a_reboot() {
    let Some(mut fleet) = Fleet::open("fleet: one datacenter") else { return };
    let agents = ["db1.eqiad.test", "db2.eqiad.test"];
    fleet.boot(&[
        Plan::aggregator("agg1.eqiad.test"),
        Plan::aggregator("agg2.eqiad.test"),
        Plan::agent(agents[0]).with_config(Numbered::CONFIG),
        Plan::agent(agents[1]).with_config(Numbered::CONFIG).with_release(Release::Trixie),
    ]);
    fleet.install();
    let flows: Vec<Numbered<'_>> =
        fleet.with_role(Role::Agent).map(|host| Numbered::begin(host, 0.02)).collect();
    fleet.wait_live();

    fleet.publish("+1");
    let upgraded = fleet.host(agents[1]);
    let before = upgraded.version("muster-agent");
    upgraded.apt_install(&["muster-agent"]);
    assert_eq!(upgraded.version("muster-agent"), format!("{before}+1"));
    fleet.host(agents[0]).reboot();
    eventually("both hosts are live", PATIENCE, || {
        let rows = fleet.ask(&["hosts", "--json"]).array();
        let is_live = |name: &&str| {
            rows.iter().any(|row| text(row, "host") == *name && text(row, "state") == "live")
        };
        agents.iter().all(is_live).then_some(())
    });
    for flow in &flows {
        eventually("some hundred lines", PATIENCE, || (flow.written() > 300).then_some(()));
        let written = flow.end();
        Tally::settle_host(&fleet, Some(&flow.host().name), written, PATIENCE);
    }
}
