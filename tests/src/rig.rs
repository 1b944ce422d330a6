//! A small fleet of real processes on this host, with its own certificates, ports and directories.
//!
//! Everything lives below one temporary directory and dies with the [`Rig`], also when a test panics.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod agent;
mod aggregator;
mod ask;
mod disk;
mod flow;
mod page;
mod process;
mod writer;

pub use agent::{Agent, AgentOptions};
pub use aggregator::Aggregator;
pub use ask::{Answer, Asks, text};
pub use disk::SmallDisk;
pub use flow::Flow;
pub use page::page;
pub use process::Process;
pub use writer::{BLOCK_LINES, Rotation, Tally, Writer, numbered};

/// Patience of [`eventually`] in tests: far more than anything needs, so that only a bug hits it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A small fleet.
pub struct Rig {
    /// The aggregators, in the order they were named; the first has the certificate authority.
    pub aggregators: Vec<Aggregator>,
    /// Last, so that it is removed when nobody writes into it any more.
    dir: tempfile::TempDir,
}

/// One aggregator of a [`Rig`], before it exists.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// Its datacenter.
    pub datacenter: &'static str,
}

/// Two aggregators in one datacenter and one in a second.
pub const TWO_AND_ONE: &[Place] = &[
    Place { name: "agg1.eqiad.test", datacenter: "eqiad" },
    Place { name: "agg2.eqiad.test", datacenter: "eqiad" },
    Place { name: "agg1.codfw.test", datacenter: "codfw" },
];

/// Two aggregators in one datacenter.
pub const PAIR: &[Place] = &[
    Place { name: "agg1.eqiad.test", datacenter: "eqiad" },
    Place { name: "agg2.eqiad.test", datacenter: "eqiad" },
];

/// One aggregator.
pub const ONE: &[Place] = &[Place { name: "agg1.eqiad.test", datacenter: "eqiad" }];

impl Rig {
    /// Makes directories, certificates and configurations and starts every aggregator.
    ///
    /// # Panics
    /// When a program is missing (run `make build` first) or does not do its work.
    pub fn new(places: &[Place]) -> Rig {
        Rig::with(places, "")
    }

    /// As [`Rig::new`], with more lines for each aggregator's configuration.
    ///
    /// # Panics
    /// As [`Rig::new`].
    pub fn with(places: &[Place], more: &str) -> Rig {
        let dir = tempfile::Builder::new().prefix("muster-rig-").tempdir().expect("a directory");
        let ports: Vec<u16> = free_udp_ports(places.len());
        let mut rig = Rig { dir, aggregators: Vec::new() };
        for (n, place) in places.iter().enumerate() {
            let folder = rig.dir.path().join(place.name);
            let mut aggregator = Aggregator::new(&folder, *place, ports[n]);
            let peers: Vec<(Place, u16)> = places
                .iter()
                .copied()
                .zip(ports.iter().copied())
                .filter(|(peer, _)| peer.name != place.name)
                .collect();
            aggregator.configure(&peers, more);
            match rig.aggregators.first() {
                None => aggregator.init(),
                Some(first) => aggregator.join(first),
            }
            aggregator.start();
            rig.aggregators.push(aggregator);
        }
        rig
    }

    /// The directory everything lives in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Enrols an agent and starts it.
    ///
    /// # Panics
    /// When enrolment fails.
    pub fn agent(&self, name: &str, options: &AgentOptions) -> Agent {
        let mut agent = self.enrolled(name, options);
        agent.start();
        agent
    }

    /// Enrols an agent without starting it.
    ///
    /// # Panics
    /// When enrolment fails.
    pub fn enrolled(&self, name: &str, options: &AgentOptions) -> Agent {
        let agent = self.unenrolled(name, options);
        agent.enrol(&self.aggregators[0]);
        agent
    }

    /// An agent with a configuration and nothing else.
    pub fn unenrolled(&self, name: &str, options: &AgentOptions) -> Agent {
        let agent = Agent::new(&self.dir.path().join(name), name);
        agent.configure(&self.aggregators, options);
        agent
    }

    /// Writes an agent's configuration anew; it counts from its next start.
    pub fn configure(&self, agent: &Agent, options: &AgentOptions) {
        agent.configure(&self.aggregators, options);
    }

    /// Place of the aggregator of this name.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn place_of(&self, name: &str) -> usize {
        let found = self.aggregators.iter().position(|a| a.place.name == name);
        found.unwrap_or_else(|| panic!("no aggregator {name:?} in the rig"))
    }

    /// Asks the first aggregator that runs.
    ///
    /// # Panics
    /// When none runs.
    pub fn ask(&self, words: &[&str]) -> Answer {
        let running = self.aggregators.iter().find(|aggregator| aggregator.is_running());
        running.expect("an aggregator runs").ask(words)
    }
}

impl Asks for Rig {
    fn ask(&self, words: &[&str]) -> Answer {
        Rig::ask(self, words)
    }
}

/// Folder of the programs under test: beside this test's own binary, or `MUSTER_BIN_DIR`.
///
/// # Panics
/// When the program is not there.
pub fn program(name: &str) -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().expect("a running test has a path");
        let folder = own.parent().expect("it lies in a folder");
        if folder.ends_with("deps") {
            folder.parent().unwrap_or(folder).to_owned()
        } else {
            folder.to_owned()
        }
    };
    let folder = std::env::var_os("MUSTER_BIN_DIR").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace --bins`", path.display());
    path
}

/// Says something that also who runs passing tests shall read, past the runner's capture.
pub fn tell(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "\n{text}");
}

/// One more line of what was told last.
pub fn tell_on(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says that a test was not made, and why: `tests/run.sh` counts it.
pub fn skipped(test: &str, why: &str) {
    tell(&format!("{test} ... SKIPPED: {why}"));
}

/// Asks again and again until `probe` gives an answer; panics with what was wanted after `patience`.
///
/// # Panics
/// When patience is over.
#[track_caller]
pub fn eventually<T>(wanted: &str, patience: Duration, probe: impl FnMut() -> Option<T>) -> T {
    within(patience, probe).unwrap_or_else(|| panic!("not within {patience:?}: {wanted}"))
}

/// As [`eventually`], for who has more to say when it does not happen.
pub fn within<T>(patience: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        let found = probe();
        if found.is_some() || began.elapsed() >= patience {
            return found;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Lets time pass: the pace of a story, never a way to wait for something (that is [`eventually`]).
pub fn pause(span: Duration) {
    let until = Instant::now() + span;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// UDP ports on loopback that nobody uses at this moment.
fn free_udp_ports(count: usize) -> Vec<u16> {
    let sockets: Vec<UdpSocket> =
        (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port")).collect();
    sockets.iter().map(|socket| socket.local_addr().expect("it is bound").port()).collect()
}

/// A TCP port on loopback that nobody uses at this moment.
///
/// # Panics
/// When there is none.
pub fn free_tcp_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
