//! What of ours runs on the hosts: configured, enrolled, asked.
//!
//! Room: `tests/fleet`.  May use: `host`, `repository`.  Used by: tests, `image`.
//!
//! Configuration lies in drop-ins, so that the packages' own files stay as they came.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::Fleet;
use super::host::{Host, Role};
use crate::rig::{Answer, Asks, eventually};

/// Starting takes a second; only a bug takes this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Spans of failover that tests do not want to wait for: everything else is as shipped.
const UPLINK: &str = "[uplink]\nhome_stable = \"3s\"\nprobe_interval = \"1s\"\nhome_spread = \"2s\"\n\
                      heartbeat = \"2s\"\n";

impl Fleet {
    /// Configures, enrols and starts what every host's role needs; its packages are there since it booted. The
    /// first aggregator has the certificate authority.
    ///
    /// # Panics
    /// When something of it fails, with what it said.
    pub fn install(&self) {
        for host in self.with_role(Role::Aggregator).filter(|host| !host.plan.is_fresh) {
            self.configure(host);
            self.certify_aggregator(host);
            host.start_unit(Role::Aggregator.unit());
        }
        std::thread::scope(|scope| {
            for host in self.with_role(Role::Agent).filter(|host| !host.plan.is_fresh) {
                scope.spawn(|| {
                    self.configure(host);
                    self.enrol(host);
                    host.start_unit(Role::Agent.unit());
                });
            }
        });
    }

    /// Offers this build once more, as a newer version: `""` is the one that hosts with a role boot
    /// with, `"+1"` and `"+2"` are newer. [`Host::apt_install`] upgrades to the newest.
    ///
    /// # Panics
    /// When it cannot be packed.
    pub fn publish(&self, suffix: &str) {
        self.repository.publish(suffix);
    }

    /// Waits until every agent has something acked.
    ///
    /// # Panics
    /// When one has not.
    pub fn wait_live(&self) {
        for host in self.with_role(Role::Agent) {
            eventually(&format!("{} is live", host.name), PATIENCE, || {
                let status = host.agent_status()?;
                (status["uplink"] == "live" && status["last_ack_s"].is_u64()).then_some(())
            });
        }
    }

    /// Writes the configuration of a host anew; it counts from the next start.
    pub fn configure(&self, host: &Host) {
        match host.plan.role {
            Role::Bare => {}
            Role::Agent => {
                let text = self.agent_config(host) + &host.plan.more;
                host.write("/etc/muster/agent.d/fleet.toml", &text);
            }
            Role::Aggregator => {
                let text = self.aggregator_config(host) + &host.plan.more;
                host.write("/etc/muster/aggregator.d/fleet.toml", &text);
            }
        }
    }

    fn aggregator_config(&self, host: &Host) -> String {
        let mut text = format!(
            "[aggregator]\nname = \"{}\"\ndatacenter = \"{}\"\n",
            host.name,
            host.plan.datacenter()
        );
        for peer in self.with_role(Role::Aggregator).filter(|peer| peer.name != host.name) {
            let _ = write!(
                text,
                "[[peer]]\nname = \"{0}\"\ndatacenter = \"{1}\"\naddress = \"{0}:7460\"\n",
                peer.name,
                peer.plan.datacenter()
            );
        }
        text
    }

    /// Its own datacenter first, the others in the fleet's order.
    fn agent_config(&self, host: &Host) -> String {
        let mut datacenters: Vec<&str> = vec![host.plan.datacenter()];
        for aggregator in self.with_role(Role::Aggregator) {
            if !datacenters.contains(&aggregator.plan.datacenter()) {
                datacenters.push(aggregator.plan.datacenter());
            }
        }
        let mut text = format!("[host]\nname = \"{}\"\n{UPLINK}", host.name);
        for datacenter in datacenters {
            let names: Vec<String> = self
                .with_role(Role::Aggregator)
                .filter(|aggregator| aggregator.plan.datacenter() == datacenter)
                .map(|aggregator| format!("\"{}:7460\"", aggregator.name))
                .collect();
            let _ = write!(
                text,
                "[[uplink.datacenter]]\nname = \"{datacenter}\"\naggregators = [{}]\n",
                names.join(", ")
            );
        }
        text
    }

    fn authority(&self) -> &Host {
        self.with_role(Role::Aggregator).next().expect("a fleet has an aggregator")
    }

    /// Makes the authority on the first aggregator, and lets each other one join it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn certify_aggregator(&self, host: &Host) {
        let first = self.authority();
        if host.name == first.name {
            host.sh("muster-aggregator init --organisation 'Muster fleet'");
        } else {
            let (at, token) = (&first.name, self.token("aggregator"));
            host.sh(&format!("muster-aggregator init --join {at}:7460 --token {token}"));
        }
    }

    /// Gets an agent its certificate.
    ///
    /// # Panics
    /// When it is refused.
    pub fn enrol(&self, host: &Host) {
        let (at, token) = (&self.authority().name, self.token("agent"));
        host.sh(&format!("muster-agent enroll --token {token} --aggregator {at}:7460"));
    }

    /// A token for one certificate.
    ///
    /// # Panics
    /// When none is made.
    pub fn token(&self, role: &str) -> String {
        let script = format!("muster-aggregator token create --role {role}");
        self.authority().sh(&script).trim().to_owned()
    }

    /// Asks the first aggregator that is on and runs.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> Answer {
        let runs = |host: &&Host| host.is_on() && host.is_active(Role::Aggregator.unit());
        let host = self.with_role(Role::Aggregator).find(runs).expect("an aggregator runs");
        host.ask(words)
    }
}

impl Asks for Fleet {
    fn ask(&self, words: &[&str]) -> Answer {
        Fleet::ask(self, words)
    }
}

impl Role {
    /// What apt installs for it.
    pub(super) fn packages(self) -> &'static [&'static str] {
        match self {
            Role::Agent => &["muster-agent"],
            Role::Aggregator => &["muster-aggregator", "musterctl"],
            Role::Bare => &[],
        }
    }

    /// Its unit, which is also its program; empty for a bare host.
    pub fn unit(self) -> &'static str {
        match self {
            Role::Agent => "muster-agent",
            Role::Aggregator => "muster-aggregator",
            Role::Bare => "",
        }
    }
}

impl Host {
    /// Runs musterctl on this host, which has an aggregator.
    pub fn ask(&self, words: &[&str]) -> Answer {
        self.run(&[&["musterctl"], words].concat())
    }

    /// What its agent says of itself; `None` while it does not answer.
    pub fn agent_status(&self) -> Option<Value> {
        let answer = self.run(&["muster-agent", "status", "--json"]);
        serde_json::from_str(&answer.out).ok()
    }
}
