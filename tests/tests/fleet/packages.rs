//! The life of the packages on fresh machines of Debian 12 and 13: installed by file, enrolled, upgraded under
//! load, upgraded with a configuration that is wrong, removed, installed again, purged.

use std::time::Duration;

use muster_tests::fleet::{Fleet, Host, Numbered, Plan, Release, Role};
use muster_tests::rig::{Tally, eventually, tell, text, within};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const AGENT: &str = "muster-agent";
const AGGREGATOR: &str = "muster-aggregator";
/// Exposure that `systemd-analyze security` may find. What the agent reads of its host costs it the rest.
const AGGREGATOR_EXPOSURE_MAX: f64 = 2.0;
const AGENT_EXPOSURE_MAX: f64 = 2.5;
/// Where files of ours may lie. Not those of dpkg and the journal, nor what the story itself put there.
const OURS: &str = "find /etc /usr /var/lib /run /lib/systemd -xdev \\( -name '*muster*' -o -path '*/muster/*' \\) \
                    ! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*' ! -path '/etc/apt/*' \
                    ! -path '/usr/share/doc/*' ! -path '/run/systemd/*' 2>/dev/null || true";

#[test]
fn an_agent_is_installed_upgraded_removed_and_purged_and_loses_no_line() {
    let Some(mut fleet) = Fleet::open("fleet: packages of the agent") else { return };
    let fresh = |name: &str| Plan::agent(name).with_config(Numbered::CONFIG).fresh();
    fleet.boot(&[
        Plan::aggregator("agg1.eqiad.test"),
        fresh("old.eqiad.test"),
        fresh("new.eqiad.test").with_release(Release::Trixie),
    ]);
    fleet.install();
    for suffix in ["", "+1", "+2"] {
        fleet.publish(suffix);
    }
    std::thread::scope(|scope| {
        for host in fleet.with_role(Role::Agent) {
            scope.spawn(|| agent_story(&fleet, host));
        }
    });
}

fn agent_story(fleet: &Fleet, host: &Host) {
    install_agent(fleet, host);
    let lines = Numbered::begin(host, 0.02);
    is_found_live(fleet, host);
    is_confined(host, AGENT, "muster", AGENT_EXPOSURE_MAX);
    sees_what_root_sees(fleet, host);
    upgrade_under_load(host, &lines);
    upgrade_with_mistakes(host);
    remove_and_install_again(fleet, host, &lines);
    Tally::settle_host(fleet, Some(&host.name), lines.end(), PATIENCE);
    purge(host, AGENT, "/var/lib/muster/agent");
}

/// As the README says: by file, then the configuration, then a token. Nothing runs before that.
fn install_agent(fleet: &Fleet, host: &Host) {
    let said = host.apt_install_files(&[AGENT], "");
    assert!(!host.is_active(AGENT), "it is not enrolled: {said}");
    let state = host.sh("stat -c '%U %a' /var/lib/muster/agent");
    assert_eq!(state.trim(), "muster 700");
    fleet.configure(host);
    fleet.enrol(host);
    eventually("the path unit starts it", PATIENCE, || host.is_active(AGENT).then_some(()));
    owns(host, "muster", "/var/lib/muster/agent");
}

/// Root typed the commands; the daemon's user can read and write what they left.
fn owns(host: &Host, user: &str, folder: &str) {
    let foreign = host.sh(&format!("find {folder} ! -user {user}"));
    assert_eq!(foreign, "", "{}: files of somebody else", host.name);
}

fn is_found_live(fleet: &Fleet, host: &Host) {
    eventually(&format!("{} is live", host.name), PATIENCE, || {
        let rows = fleet.ask(&["hosts", "--json"]).array();
        let row = rows.iter().find(|row| text(row, "host") == host.name)?;
        (text(row, "state") == "live").then_some(())
    });
}

/// The daemon is not root, has no capability, and its unit is well confined and well written.
fn is_confined(host: &Host, unit: &str, user: &str, exposure_max: f64) {
    let pid = main_pid(host, unit);
    let who =
        host.sh(&format!("ps -o user:32= -p {pid}; grep -E '^Cap(Eff|Bnd)' /proc/{pid}/status"));
    let words: Vec<&str> = who.split_whitespace().collect();
    let none = "0000000000000000";
    assert_eq!(words, [user, "CapEff:", none, "CapBnd:", none], "{}", host.name);
    let verified = host.run(&["systemd-analyze", "verify", "--man=no", &format!("{unit}.service")]);
    assert_eq!((verified.code, verified.err.trim()), (0, ""), "{}", host.name);
    let judged = host.sh(&format!("systemd-analyze security --no-pager {unit}.service"));
    let found = judged.lines().rev().find_map(|line| {
        line.split_once("exposure level for")?.1.split(": ").nth(1)?.split(' ').next()?.parse().ok()
    });
    let exposure: f64 = found.unwrap_or_else(|| panic!("{judged}"));
    tell(&format!("{}: {unit} exposure {exposure}", host.name));
    assert!(exposure <= exposure_max, "{judged}");
}

fn main_pid(host: &Host, unit: &str) -> String {
    host.sh(&format!("systemctl show -p MainPID --value {unit}")).trim().to_owned()
}

/// The sandbox hides nothing that a check needs: what the daemon says equals what root finds outside of it.
fn sees_what_root_sees(fleet: &Fleet, host: &Host) {
    let outside = host.run(&[AGENT, "checks", "run", "--json"]).array();
    let is_steady = |id: &str| {
        let moving = ["agent.", "cpu.load", "cpu.pressure", "io.pressure", "mem.pressure", "proc."];
        !moving.iter().any(|begin| id.starts_with(begin))
    };
    let mut differing = Vec::new();
    let agree = within(PATIENCE, || {
        let inside = fleet.ask(&["host", &host.name, "--json"]).out;
        let inside: Value = serde_json::from_str(&inside).ok()?;
        let inside = inside["checks"].as_array().cloned().unwrap_or_default();
        differing.clear();
        for row in outside.iter().filter(|row| is_steady(text(row, "id"))) {
            let (id, instance) = (text(row, "id"), text(row, "instance"));
            let same = inside
                .iter()
                .find(|check| text(check, "id") == id && text(check, "instance") == instance);
            // What is bad since a moment ago is not told yet, but it is seen.
            let is_seen = |check: &&Value| {
                text(check, "verdict") == text(row, "verdict")
                    || text(check, "message").contains(&format!("[{} now,", text(row, "verdict")))
            };
            if same.filter(is_seen).is_none() {
                differing.push(format!("{id} {instance}: {same:?}, root finds {row}"));
            }
        }
        (differing.is_empty() && outside.len() > 20).then_some(())
    });
    assert!(agree.is_some(), "{}: {} outside, {differing:#?}", host.name, outside.len());
}

fn upgrade_under_load(host: &Host, lines: &Numbered<'_>) {
    eventually("some lines", PATIENCE, || (lines.written() > 100).then_some(()));
    let (version, pid) = (host.version(AGENT), main_pid(host, AGENT));
    host.sh(&newer(AGENT, &version, "+1"));
    assert_eq!(host.version(AGENT), format!("{version}+1"));
    assert!(host.is_active(AGENT), "an upgrade leaves it running");
    assert_ne!(main_pid(host, AGENT), pid, "the new one");
    let spools = host.run(&[AGENT, "spool", "verify"]);
    assert_eq!(spools.code, 0, "{}", spools.out);
    let before = lines.written();
    eventually("more lines", PATIENCE, || (lines.written() > before + 100).then_some(()));
}

/// Installs exactly the version with this suffix: others are on offer, too.
fn newer(package: &str, version: &str, suffix: &str) -> String {
    let base = version.split('+').next().unwrap_or(version);
    format!(
        "export DEBIAN_FRONTEND=noninteractive; exec 2>&1; cd /srv/muster; \
         apt-get install -qq -y --no-install-recommends ./{package}_{base}{suffix}_amd64.deb"
    )
}

/// What the new version does not accept does not stop the old one; and a start says why, once.
fn upgrade_with_mistakes(host: &Host) {
    let bad = "/etc/muster/agent.d/zz-bad.toml";
    host.write(bad, "[uplink]\nheartbeet = \"2s\"\n");
    let (version, pid) = (host.version(AGENT), main_pid(host, AGENT));
    let said = host.sh(&newer(AGENT, &version, "+2"));
    for word in [&format!("{bad}:2:1"), "heartbeet", "the configuration is refused"] {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
    assert_eq!(main_pid(host, AGENT), pid, "the old one goes on: {}", host.journal(AGENT));
    assert_ne!(host.run(&["systemctl", "restart", AGENT]).code, 0);
    let shown = host.sh(&format!("systemctl show -p ActiveState,ExecMainStatus,NRestarts {AGENT}"));
    for line in ["ActiveState=failed", "ExecMainStatus=78", "NRestarts=0"] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
    host.sh(&format!("rm {bad}; systemctl start {AGENT}"));
}

/// Removal keeps data, configuration and certificate: the package is back and goes on where it was.
fn remove_and_install_again(fleet: &Fleet, host: &Host, lines: &Numbered<'_>) {
    let kept =
        "cat /var/lib/muster/agent/identity/host.crt /etc/muster/agent.d/fleet.toml | sha256sum";
    let before = host.sh(kept);
    host.apt("remove", &[AGENT]);
    assert!(!host.is_active(AGENT));
    assert_eq!(host.run(&["test", "-e", "/usr/bin/muster-agent"]).code, 1);
    assert_eq!(host.sh(kept), before);
    let at = lines.written();
    eventually("lines go on", PATIENCE, || (lines.written() > at + 50).then_some(()));
    host.apt_install_files(&[AGENT], "+2");
    eventually("it runs again", PATIENCE, || host.is_active(AGENT).then_some(()));
    is_found_live(fleet, host);
}

fn purge(host: &Host, package: &str, state: &str) {
    host.apt("purge", &[package]);
    assert_eq!(host.run(&["test", "-e", state]).code, 1, "{}: {state} is gone", host.name);
    let left = host.sh(OURS);
    assert_eq!(left, "", "{}: a purge leaves nothing", host.name);
}

#[test]
fn an_aggregator_is_installed_upgraded_removed_and_purged() {
    let Some(mut fleet) = Fleet::open("fleet: packages of the aggregator") else { return };
    let fresh = |name: &str| Plan::aggregator(name).fresh();
    fleet.boot(&[
        Plan::aggregator("agg1.eqiad.test"),
        fresh("old.eqiad.test"),
        fresh("new.eqiad.test").with_release(Release::Trixie),
    ]);
    fleet.install();
    for suffix in ["", "+1"] {
        fleet.publish(suffix);
    }
    std::thread::scope(|scope| {
        for host in fleet.with_role(Role::Aggregator).filter(|host| host.plan.is_fresh) {
            scope.spawn(|| aggregator_story(&fleet, host));
        }
    });
}

/// With the agent on the same machine, as on a fleet's own aggregators.
fn aggregator_story(fleet: &Fleet, host: &Host) {
    let packages = [AGGREGATOR, "musterctl", AGENT];
    host.apt_install_files(&packages, "");
    fleet.configure(host);
    fleet.certify_aggregator(host);
    eventually("the path unit starts it", PATIENCE, || host.is_active(AGGREGATOR).then_some(()));
    owns(host, AGGREGATOR, "/var/lib/muster/aggregator");
    let uplink =
        "[[uplink.datacenter]]\nname = \"eqiad\"\naggregators = [\"agg1.eqiad.test:7460\"]\n";
    host.write(
        "/etc/muster/agent.d/fleet.toml",
        &format!("[host]\nname = \"{}\"\n{uplink}", host.name),
    );
    fleet.enrol(host);
    is_found_live(fleet, host);
    is_confined(host, AGGREGATOR, AGGREGATOR, AGGREGATOR_EXPOSURE_MAX);
    let asked = eventually("it answers for all", PATIENCE, || {
        let asked = host.ask(&["status"]);
        // 5: the third aggregator is in a part of its own story in which it is away.
        let is_answered = matches!(asked.code, 0 | 5);
        (is_answered && asked.out.contains("agg1.eqiad.test")).then_some(asked.out)
    });
    assert!(asked.contains(&host.name), "{asked}");

    let (version, pid) = (host.version(AGGREGATOR), main_pid(host, AGGREGATOR));
    host.sh(&newer(AGGREGATOR, &version, "+1"));
    assert_eq!(host.version(AGGREGATOR), format!("{version}+1"));
    assert!(host.is_active(AGGREGATOR) && main_pid(host, AGGREGATOR) != pid);

    host.apt("remove", &[AGGREGATOR]);
    assert!(!host.is_active(AGGREGATOR) && host.is_active(AGENT));
    host.sh("test -s /var/lib/muster/aggregator/identity/host.crt");
    host.apt_install_files(&[AGGREGATOR], "+1");
    eventually("it runs again", PATIENCE, || host.is_active(AGGREGATOR).then_some(()));
    host.apt("purge", &[AGGREGATOR, "musterctl"]);
    assert!(host.is_active(AGENT), "the other package is left alone");
    purge(host, AGENT, "/var/lib/muster");
}
