//! An agent finds its aggregators by SRV records, follows them when they move, and lives on what it
//! knew when the name servers are dead. The name server is dnsmasq, the resolver the system's own.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use muster_tests::rig::{
    Agent, AgentOptions, Aggregator, PAIR, PATIENCE, Process, Rig, eventually, program, text,
};

/// Where the name server listens: an address of its own, so that it is in nobody's way.
const SERVER: &str = "127.0.7.53";
const SRV: &str = "_muster._udp.eqiad.test";

/// A name server that is started anew with each list.
struct NameServer {
    process: Option<Process>,
    dir: PathBuf,
}

impl NameServer {
    fn serve(&mut self, records: &[String]) {
        self.stop();
        let config = self.dir.join("dnsmasq.conf");
        let fixed = format!(
            "port=53\nlisten-address={SERVER}\nbind-interfaces\nno-resolv\nno-hosts\nlocal-ttl=1\n\
             user=root\ncache-size=0\n"
        );
        std::fs::write(&config, format!("{fixed}{}\n", records.join("\n"))).unwrap();
        let mut command = Command::new("/usr/sbin/dnsmasq");
        command.arg("--keep-in-foreground").arg("--log-facility=-").arg("--log-queries");
        command.arg(format!("--pid-file={}", self.dir.join("dnsmasq.pid").display()));
        command.arg(format!("--conf-file={}", config.display()));
        self.process = Some(Process::start(&mut command, &self.dir.join("dnsmasq.log")));
    }

    fn stop(&mut self) {
        self.process = None;
    }
}

fn srv(aggregator: &Aggregator) -> String {
    format!("srv-host={SRV},{},{},10,100", aggregator.place.name, aggregator.port)
}

fn host(aggregator: &Aggregator, addresses: &[&str]) -> String {
    let each =
        addresses.iter().map(|address| format!("host-record={},{address}", aggregator.place.name));
    each.collect::<Vec<_>>().join("\n")
}

/// Starts the agent with a resolv.conf of its own.
fn start(agent: &mut Agent, dir: &Path) {
    let resolv = dir.join("resolv.conf");
    std::fs::write(&resolv, format!("nameserver {SERVER}\noptions timeout:1 attempts:1\n"))
        .unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
    command
        .arg(&resolv)
        .arg(program("muster-agent"))
        .arg("--config")
        .arg(agent.config())
        .arg("run");
    agent.process = Some(Process::start(&mut command, &dir.join("agent.log")));
}

#[track_caller]
fn is_live_at(agent: &Agent, aggregator: &Aggregator, what: &str) {
    let began = Instant::now();
    let name = aggregator.place.name;
    let mut last = String::new();
    let deadline = PATIENCE;
    while began.elapsed() < deadline {
        let status = agent.status().unwrap_or_default();
        if text(&status, "uplink") == "live" && text(&status, "aggregator") == name {
            return println!("{what}: {:.2} s", began.elapsed().as_secs_f64());
        }
        last = status.to_string();
        std::thread::park_timeout(Duration::from_millis(50));
    }
    panic!("{what}: not live at {name}: {last}");
}

/// The aggregator listens elsewhere from now on.
fn move_to(aggregator: &mut Aggregator, address: &str) {
    aggregator.stop();
    let config = std::fs::read_to_string(aggregator.config()).unwrap();
    let quic = config.lines().find(|line| line.starts_with("quic")).unwrap().to_owned();
    let moved = format!("quic = \"{address}:{}\"", aggregator.port);
    std::fs::write(aggregator.config(), config.replace(&quic, &moved)).unwrap();
    aggregator.start();
}

fn why_not() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root for port 53 and a resolv.conf of its own");
    }
    (!Path::new("/usr/sbin/dnsmasq").exists()).then_some("needs dnsmasq: run tests/setup.sh test")
}

#[test]
fn aggregators_are_found_by_name_and_followed() {
    if let Some(why) = why_not() {
        return println!("names SKIPPED: {why}");
    }
    let mut rig = Rig::new(PAIR);
    let dir = rig.dir().join("names");
    std::fs::create_dir_all(&dir).unwrap();
    let mut names = NameServer { process: None, dir: dir.clone() };
    let uplink = format!(
        "[uplink]\nheartbeat = \"1s\"\n[[uplink.datacenter]]\nname = \"eqiad\"\nsrv = \"{SRV}\"\n"
    );
    let options = AgentOptions { uplink: Some(uplink), ..Default::default() };
    let mut agent = rig.enrolled("db1.eqiad.test", &options);

    names.serve(&[srv(&rig.aggregators[0]), host(&rig.aggregators[0], &["127.0.0.1"])]);
    start(&mut agent, &dir);
    is_live_at(&agent, &rig.aggregators[0], "found by SRV record");
    let kept = agent.state_dir().join("identity/names.list");
    eventually("what was learned is kept", PATIENCE, || {
        let text = std::fs::read_to_string(&kept).unwrap_or_default();
        (text.contains("srv _muster") && text.contains("host agg1.eqiad.test 127.0.0.1"))
            .then_some(())
    });

    names.stop();
    agent.stop();
    start(&mut agent, &dir);
    is_live_at(&agent, &rig.aggregators[0], "restarted without any name server");

    names.serve(&[
        srv(&rig.aggregators[0]),
        srv(&rig.aggregators[1]),
        host(&rig.aggregators[0], &["127.0.0.1"]),
        host(&rig.aggregators[1], &["127.0.0.1"]),
    ]);
    rig.aggregators[0].kill();
    is_live_at(&agent, &rig.aggregators[1], "the only one it knew died, the list has another");

    // Its addresses change under the running agent: one is dead, the other is IPv6.
    let elsewhere = host(&rig.aggregators[1], &["127.0.9.9", "::1"]);
    names.serve(&[srv(&rig.aggregators[1]), elsewhere]);
    move_to(&mut rig.aggregators[1], "[::1]");
    is_live_at(&agent, &rig.aggregators[1], "it moved to IPv6, beside a dead IPv4 address");

    names.serve(&[srv(&rig.aggregators[1]), host(&rig.aggregators[1], &["127.0.0.9"])]);
    move_to(&mut rig.aggregators[1], "[::]");
    is_live_at(&agent, &rig.aggregators[1], "it listens everywhere and is known by IPv4 only");
    agent.stop();
}
