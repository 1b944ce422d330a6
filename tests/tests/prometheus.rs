//! A real Prometheus scrapes the agent, the aggregator, the fleet page, and beside them Debian's
//! node_exporter on the same host. What it has understood of us is what it has understood of the
//! exporter: families, types, names of labels. Everything is asked through Prometheus' own API.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use muster_tests::rig::{
    AgentOptions, ONE, PATIENCE, Process, Rig, eventually, free_tcp_port, page,
};
use serde_json::Value;

const PROMETHEUS: &str = "/usr/bin/prometheus";
const PROMTOOL: &str = "/usr/bin/promtool";
const EXPORTER: &str = "/usr/bin/prometheus-node-exporter";

/// What the collectors of the issue put out: the beginning of their families' names.
const COLLECTORS: &[(&str, &[&str])] = &[
    ("cpu", &["node_cpu_"]),
    ("meminfo", &["node_memory_"]),
    ("loadavg", &["node_load"]),
    ("filesystem", &["node_filesystem_"]),
    ("diskstats", &["node_disk_"]),
    ("netdev, netclass", &["node_network_"]),
    ("netstat", &["node_netstat_"]),
    ("sockstat", &["node_sockstat_"]),
    ("vmstat", &["node_vmstat_"]),
    (
        "stat",
        &["node_context_switches_total", "node_forks_total", "node_intr_total", "node_procs_"],
    ),
    ("boot time", &["node_boot_time_seconds"]),
    ("pressure", &["node_pressure_"]),
    ("filefd", &["node_filefd_"]),
    ("entropy", &["node_entropy_"]),
    ("time", &["node_time_"]),
    ("timex", &["node_timex_"]),
    ("uname", &["node_uname_info"]),
    ("os", &["node_os_"]),
    ("own process", &["process_"]),
];

/// Collectors whose families a host may lack altogether; compared where either of both has them.
const WHERE_PRESENT: &[(&str, &[&str])] =
    &[("conntrack", &["node_nf_conntrack_"]), ("systemd", &["node_systemd_"])];

/// Families that release 1.5.0 of the exporter, Debian's, does not know yet.
const NEWER: &[&str] = &[
    "node_cpu_frequency_avg_hertz",
    "node_cpu_isolated",
    "node_cpu_online",
    "node_cpu_scaling_governor",
    "node_filesystem_mount_info",
    "node_netstat_TcpExt_TCPOFOQueue",
    "node_netstat_TcpExt_TCPRcvQDrop",
    "node_network_altnames_info",
    "node_systemd_virtualization_info",
];

/// Labels that release 1.5.0 does not know yet: family, label.
const NEWER_LABELS: &[(&str, &str)] = &[
    ("node_disk_info", "rotational"),
    ("node_network_info", "adminstate"),
    ("node_filesystem_", "device_error"),
];

/// What promtool may complain about: beginning of the name, end of the sentence, reason.
const LINTS: &[(&str, &str, &str)] = &[
    ("node_", "'snake_case' not 'camelCase'", "the exporter's names are kept"),
    ("node_", "use base unit \"bytes\" instead of \"bits\"", "the exporter's names are kept"),
    (
        "node_",
        "no help text",
        "the fleet page carries types only: a host's dictionary has no texts",
    ),
    ("process_", "no help text", "likewise"),
    ("muster_", "no help text", "the aggregator's own page"),
];

/// Type and names of labels of each family of one job.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

struct Prometheus {
    port: u16,
    _process: Process,
}

impl Prometheus {
    fn start(dir: &Path, jobs: &str) -> Prometheus {
        let (config, port) = (dir.join("prometheus.yml"), free_tcp_port());
        let head = "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n";
        std::fs::write(&config, format!("{head}{jobs}")).unwrap();
        let mut command = Command::new(PROMETHEUS);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = dir.join("prometheus.log");
        let process = Process::start(&mut command, &log);
        eventually("Prometheus is ready", PATIENCE, || page(port, "/-/ready").ok());
        Prometheus { port, _process: process }
    }

    fn ask(&self, path: &str) -> Value {
        let answer: Value = serde_json::from_str(&page(self.port, path).unwrap()).unwrap();
        assert_eq!(answer["status"], "success", "{path}");
        answer["data"].clone()
    }

    /// The jobs that are up now.
    fn up(&self) -> BTreeSet<String> {
        let data = self.ask("/api/v1/query?query=up");
        let rows = data["result"].as_array().unwrap().clone();
        let up = rows.iter().filter(|row| row["value"][1] == "1");
        up.map(|row| row["metric"]["job"].as_str().unwrap().to_owned()).collect()
    }

    fn families(&self, job: &str) -> Families {
        let matcher = format!("%7Bjob%3D%22{job}%22%7D");
        let told = self.ask(&format!("/api/v1/targets/metadata?match_target={matcher}"));
        let mut families = Families::new();
        for row in told.as_array().unwrap() {
            let (name, kind) = (row["metric"].as_str().unwrap(), row["type"].as_str().unwrap());
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        }
        let series = self.ask(&format!("/api/v1/series?match[]={matcher}"));
        for labels in series.as_array().unwrap() {
            let labels = labels.as_object().unwrap();
            let name = labels["__name__"].as_str().unwrap();
            if let Some((_, known)) = families.get_mut(name) {
                let own = labels.keys().filter(|label| !is_given(label));
                known.extend(own.cloned());
            }
        }
        families
    }
}

/// Labels that Prometheus or the fleet page adds.
fn is_given(label: &str) -> bool {
    ["__name__", "job", "instance", "host", "datacenter"].contains(&label)
}

#[test]
fn a_real_prometheus_finds_the_exporters_names() {
    for program in [PROMETHEUS, PROMTOOL, EXPORTER] {
        assert!(Path::new(program).exists(), "{program} is missing: run `tests/setup.sh test`");
    }
    let rig = Rig::new(ONE);
    let own = rig.aggregators[0].metrics;
    let listener = free_tcp_port();
    let more = format!("[metrics]\ninterval = \"1s\"\nlisten = \"127.0.0.1:{listener}\"\n");
    let _agent = rig.agent("web1.eqiad.test", &AgentOptions { more, ..AgentOptions::default() });
    let port = free_tcp_port();
    let mut command = Command::new(EXPORTER);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    // Collectors that Debian's package leaves to its operator and we have on.
    command.args(["--collector.systemd", "--collector.processes", "--no-collector.nfs"]);
    let _exporter = Process::start(&mut command, &rig.dir().join("exporter.log"));
    let fleet_path = "/federate?match[]=%7B__name__%3D~%22node_.%2A%7Cprocess_.%2A%22%7D";
    eventually("the fleet page has the host", PATIENCE, || {
        page(own, fleet_path).ok().filter(|text| text.contains("node_load1{"))
    });

    let jobs = [
        job("agent", listener, ""),
        job("aggregator", own, ""),
        job("fleet", own, FLEET),
        job("exporter", port, ""),
    ];
    let prometheus = Prometheus::start(rig.dir(), &jobs.concat());
    let wanted = ["agent", "aggregator", "exporter", "fleet"].map(str::to_owned);
    eventually("Prometheus says that all are up", PATIENCE, || {
        (prometheus.up() == BTreeSet::from(wanted.clone())).then_some(())
    });
    let theirs = eventually("Prometheus has the exporter's series", PATIENCE, || {
        let families = prometheus.families("exporter");
        families.get("node_cpu_seconds_total").filter(|(_, labels)| !labels.is_empty())?;
        Some(families)
    });
    compare("agent", &prometheus.families("agent"), &theirs);
    compare("fleet", &prometheus.families("fleet"), &theirs);
    let aggregator = prometheus.families("aggregator");
    assert!(aggregator.contains_key("muster_inbox_frames_total"), "{aggregator:?}");

    for (port, path) in [(listener, "/metrics"), (own, "/metrics"), (own, fleet_path)] {
        lint(path, &page(port, path).unwrap());
    }
}

const FLEET: &str = "    metrics_path: /federate\n    honor_labels: true\n    params:\n      'match[]': ['{__name__=~\"node_.*|process_.*\"}']\n";

fn job(name: &str, port: u16, more: &str) -> String {
    format!(
        "  - job_name: {name}\n{more}    static_configs:\n      - targets: ['127.0.0.1:{port}']\n"
    )
}

/// Families, types and names of labels of the named collectors are the exporter's.
fn compare(job: &str, ours: &Families, theirs: &Families) {
    let mut wrong = Vec::new();
    for (collector, prefixes) in COLLECTORS.iter().chain(WHERE_PRESENT) {
        let of = |families: &Families| -> Families {
            let is_its = |name: &String| prefixes.iter().any(|prefix| name.starts_with(prefix));
            families
                .iter()
                .filter(|(name, _)| is_its(name) && !NEWER.contains(&name.as_str()))
                .map(|(name, (kind, labels))| {
                    (name.clone(), (kind.clone(), without_newer(name, labels)))
                })
                .collect()
        };
        let (ours, theirs) = (of(ours), of(theirs));
        let must_be = COLLECTORS.iter().any(|(name, _)| name == collector);
        if theirs.is_empty() && must_be {
            wrong.push(format!("{collector}: the exporter has nothing, the comparison is void"));
        }
        for name in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
            if ours.get(name) != theirs.get(name) {
                let (ours, theirs) = (ours.get(name), theirs.get(name));
                wrong.push(format!("{collector}: {name}: {ours:?}, to the exporter {theirs:?}"));
            }
        }
        println!("{job}: {collector}: {} families", ours.len());
    }
    assert!(wrong.is_empty(), "{job}: {} differences:\n{}", wrong.len(), wrong.join("\n"));
}

fn without_newer(family: &str, labels: &BTreeSet<String>) -> BTreeSet<String> {
    let is_newer = |label: &String| {
        NEWER_LABELS.iter().any(|(name, newer)| family.starts_with(name) && newer == label)
    };
    labels.iter().filter(|label| !is_newer(label)).cloned().collect()
}

/// promtool parses the page and complains about nothing that is not listed.
fn lint(path: &str, text: &str) {
    let mut child = Command::new(PROMTOOL)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
    // 3: parsed, with lints. Anything else but 0: not parsed.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{path}: {said}");
    let is_listed = |line: &&str| {
        LINTS.iter().any(|(name, end, _)| line.starts_with(name) && line.ends_with(end))
    };
    let unlisted: Vec<&str> =
        said.lines().filter(|line| !line.is_empty() && !is_listed(line)).collect();
    assert!(unlisted.is_empty(), "{path}: promtool says\n{}", unlisted.join("\n"));
}
