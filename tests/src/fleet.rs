//! A fleet of real Debian hosts on this machine: systemd, journald, apt, own addresses, own disks.
//!
//! Room: `tests/fleet`.  May use: `rig`.  Used by: `tests/tests/fleet`.
//!
//! A scenario is short: boot, install, act, ask, assert.
//!
//! ```no_run
//! use muster_tests::fleet::{End, Fleet, Plan};
//!
//! let Some(mut fleet) = Fleet::open("a cut cable") else { return }; // has said SKIPPED and why
//! fleet.boot(&[
//!     Plan::aggregator("agg1.eqiad.test"), // the second label is the datacenter
//!     Plan::aggregator("agg2.eqiad.test"),
//!     Plan::agent("db1.eqiad.test"),
//! ]);
//! fleet.install(); // configuration, certificates, everything runs
//! let cut = fleet.cut(End::Host("db1.eqiad.test"), End::Others);
//! fleet.host("agg1.eqiad.test").kill("muster-aggregator");
//! fleet.heal(cut);
//! let answer = fleet.ask(&["hosts", "--json"]); // the first aggregator that runs
//! assert_eq!(answer.array().len(), 3);
//! ```
//!
//! - **Hosts** ([`Host`]): `run`, `sh`, `write`, `reboot`, `power_off`, `power_cut`, `start`; for a unit
//!   `kill`, `freeze`, `thaw`, `stop_unit`, `start_unit`, `skew_clock`; `fill_disk` of a [`Plan::with_disk`].
//!   A [`Plan::bare`] host has nothing of ours on it.
//! - **Packages**: hosts with a role boot with theirs, installed by apt into an image (`image.rs`), but for a
//!   [`Plan::fresh`] one, on which the story installs them; `apt_install`,
//!   `apt_install_files`, `apt`, `version`; [`Fleet::publish`] offers this build as a newer version.
//! - **Network**: datacenter D is `10.D.0.0/24` and `fd00:D::/64`, in the order in which they are first
//!   named; `cut`, `lose` (percent), `heal`, `heal_all` between two [`End`]s. Names are in `/etc/hosts`,
//!   one file of all hosts: [`Fleet::name_hosts`] writes it anew.
//! - **Nothing stays**: the fleet lives in namespaces that end with the test, however it ends (`stage.rs`).
//! - Fleets of one test binary run one after the other.
//!
//! Absent on purpose: delay (kernels without netem are common; loss is there), machined and D-Bus of this
//! machine, the way out to the internet.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod able;
mod acts;
mod base;
mod host;
mod image;
mod inotify;
mod muster;
mod network;
mod numbered;
mod repository;
mod stage;
mod turn;

pub use base::Release;
pub use host::{Host, Plan, Role};
pub use network::{Address, End, Fault};
pub use numbered::Numbered;

use crate::rig::{skipped, tell};
use image::Images;
use network::{Network, Prefixes};
use repository::Repository;
use stage::Stage;
use turn::Turn;

/// A fleet of hosts.
pub struct Fleet {
    /// The hosts, in the order in which they were planned. Before the stage they stand on.
    pub hosts: Vec<Host>,
    network: Network,
    images: Images,
    repository: Repository,
    stage: Arc<Stage>,
    _turn: Turn,
}

impl Fleet {
    /// An empty fleet; `None`, and a line that is counted, where this machine cannot run one.
    ///
    /// # Panics
    /// When it should be able to and fails.
    pub fn open(test: &str) -> Option<Fleet> {
        if let Some(obstacle) = able::obstacle() {
            skipped(test, &obstacle);
            return None;
        }
        let turn = Turn::take();
        let stage = Arc::new(Stage::open());
        std::fs::write(stage.folder.join("hosts"), "").expect("the file of names");
        let network = Network::new(&stage);
        let repository = Repository::new(&stage.folder.join("repository"));
        let (hosts, images) = (Vec::new(), Images::default());
        Some(Fleet { hosts, network, images, repository, stage, _turn: turn })
    }

    /// Boots more hosts, all at once, and waits until each is up; gives the time it took. Base trees and images
    /// that are not there yet are made before. A host with a role has its packages, and nothing of ours runs.
    ///
    /// # Panics
    /// When one does not come up, or with a failed unit.
    pub fn boot(&mut self, plans: &[Plan]) -> Duration {
        for plan in plans {
            self.images.of(&self.stage, &self.repository, plan.kind());
        }
        let (began, first) = (Instant::now(), self.hosts.len());
        for plan in plans {
            let address = self.network.admit(&self.stage, plan.datacenter());
            let lower = self.images.of(&self.stage, &self.repository, plan.kind());
            self.hosts.push(Host::new(self.stage.clone(), plan.clone(), address, lower));
        }
        self.name_hosts(&self.names());
        for host in &self.hosts[first..] {
            host.launch();
        }
        for host in &self.hosts[first..] {
            let state = host.wait_up();
            let failed =
                || host.sh("systemctl --failed --no-legend; journalctl -b -p err --no-pager");
            assert!(state == "running", "{} is {state}: {}", host.name, failed());
        }
        let took = began.elapsed();
        tell(&format!("fleet: {} hosts up after {:.1} s", plans.len(), took.as_secs_f64()));
        took
    }

    /// The host of this name.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.unwrap_or_else(|| panic!("no host {name:?} in the fleet"))
    }

    /// The hosts of a role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(move |host| host.plan.role == role)
    }

    /// `/etc/hosts` with every host in both families.
    pub fn names(&self) -> String {
        let line = |host: &Host| {
            let (v4, v6) = (host.address.v4(), host.address.v6());
            format!("{v4} {0}\n{v6} {0}\n", host.name)
        };
        let local = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        local + &self.hosts.iter().map(line).collect::<String>()
    }

    /// Writes `/etc/hosts` of all hosts, at once: [`Fleet::names`] with what a test wants otherwise.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn name_hosts(&self, text: &str) {
        std::fs::write(self.stage.folder.join("hosts"), text).expect("the file of names");
    }

    /// Drops every packet between two ends, both ways.
    pub fn cut(&mut self, one: End<'_>, other: End<'_>) -> Fault {
        self.lose(one, other, 100)
    }

    /// Drops a share of the packets between two ends, both ways.
    pub fn lose(&mut self, one: End<'_>, other: End<'_>, percent: u8) -> Fault {
        let ends = [one, other].map(|end| self.prefixes(end));
        self.network.spoil(&self.stage, ends, percent)
    }

    /// Takes a fault back.
    pub fn heal(&mut self, fault: Fault) {
        self.network.heal(&self.stage, &fault);
    }

    /// Takes every fault back.
    pub fn heal_all(&mut self) {
        self.network.heal_all(&self.stage);
    }

    fn prefixes(&self, end: End<'_>) -> Option<Prefixes> {
        match end {
            End::Others => None,
            End::Site(name) => Some(self.network.site(name)),
            End::Host(name) => {
                let address = self.host(name).address;
                Some(Prefixes { v4: address.v4().to_string(), v6: address.v6().to_string() })
            }
        }
    }
}

/// Runs a command with `input` on its standard input; gives status and output.
fn output_with(command: &mut Command, input: &str) -> Output {
    use std::io::Write as _;
    let spawned =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that does not read its input may be gone already; its status says what happened.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
