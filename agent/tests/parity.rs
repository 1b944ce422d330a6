//! The same machine, asked by Debian's prometheus-node-exporter and by us, at the same moment.
//!
//! Families, types, label names and label values are the same but for the exceptions listed here,
//! each with its reason. Our look stands between two of the exporter's, and so must our
//! counters.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_agent::host::Host;
use muster_agent::metrics::{Scraper, Settings, exposition};
use muster_proto::clock::{Mono, Utc};
use muster_proto::frame::{BodyFacts, Header, Kind, Sealer};
use muster_proto::metric::{encode_scrapes, parse_scrapes};

const EXPORTER: &str = "/usr/bin/prometheus-node-exporter";

/// Families of the exporter that we do not have: prefix and reason.
const NOT_OURS: &[(&str, &str)] = &[
    ("go_", "of the Go runtime: we have none"),
    ("promhttp_", "of the Go HTTP library"),
    ("node_exporter_build_info", "would be a lie"),
    ("node_btrfs_", "collector not built yet"),
    ("node_hwmon_", "collector not built yet"),
    ("node_ipvs_", "collector not built yet"),
    ("node_nfs", "collector not built yet"),
    ("node_nvme_", "collector not built yet"),
    ("node_power_supply_", "collector not built yet"),
    ("node_rapl_", "collector not built yet"),
    ("node_textfile_", "the textfile directory is a source of its own"),
    ("node_xfs_", "collector not built yet"),
    ("node_zfs_", "collector not built yet"),
];

/// Families of ours that release 1.5.0 does not know: prefix and reason.
const NOT_THEIRS: &[(&str, &str)] = &[
    ("muster_", "our own"),
    ("node_cpu_isolated", "since 1.6"),
    ("node_cpu_online", "since 1.8"),
    ("node_cpu_frequency_avg_hertz", "since 1.12"),
    ("node_cpu_scaling_governor", "since 1.6"),
    ("node_md_degraded", "since 1.10"),
    ("node_md_raid_disks", "since 1.10"),
    ("node_filesystem_mount_info", "since 1.10"),
    ("node_network_altnames_info", "since 1.12"),
    ("node_netstat_TcpExt_TCPOFOQueue", "since 1.6"),
    ("node_netstat_TcpExt_TCPRcvQDrop", "since 1.8"),
    ("node_softnet_backlog_len", "since 1.7"),
    ("node_softnet_cpu_collision_total", "since 1.7"),
    ("node_softnet_flow_limit_count_total", "since 1.7"),
    ("node_softnet_received_rps_total", "since 1.7"),
    ("node_systemd_virtualization_info", "since 1.6"),
];

/// Labels that one of both does not have: family, label, reason.
const LABELS: &[(&str, &str, &str)] = &[
    ("node_disk_info", "rotational", "since 1.10"),
    ("node_network_info", "adminstate", "since 1.6"),
    ("node_filesystem_", "device_error", "since 1.10, and only on errors here"),
];

/// Families whose values differ by nature: prefix and reason.
const OTHER_VALUES: &[(&str, &str)] = &[
    ("process_", "another process"),
    ("node_scrape_collector_duration_seconds", "another program"),
];

/// Text of one exposition, as type by family and value by series.
#[derive(Default)]
struct Page {
    types: BTreeMap<String, String>,
    values: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Page {
    fn parse(text: &str) -> Page {
        let mut page = Page::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let before = page.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{name} has two TYPE lines");
            } else if !line.starts_with('#') {
                let (name, labels, value) = parse_sample(line);
                let before = page.values.insert((name, labels), value.parse().unwrap());
                assert_eq!(before, None, "twice: {line}");
            }
        }
        page
    }

    fn families(&self) -> BTreeSet<&str> {
        self.types.keys().map(String::as_str).collect()
    }
}

/// `name{a="b",c="d"} 1` in parts.
fn parse_sample(line: &str) -> (String, BTreeMap<String, String>, &str) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if rest.starts_with('{') {
        rest = &rest[1..];
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut letters = after.char_indices();
            let end = loop {
                match letters.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => match letters.next().unwrap().1 {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    (_, other) => value.push(other),
                }
            };
            labels.insert(label.to_owned(), value);
            rest = after[end + 1..].trim_start_matches(',');
        }
        rest = &rest[1..];
    }
    (name.to_owned(), labels, rest.trim())
}

/// The exporter, stopped when dropped.
struct Exporter {
    child: Child,
    port: u16,
}

impl Exporter {
    fn start() -> Exporter {
        assert!(
            std::path::Path::new(EXPORTER).exists(),
            "{EXPORTER} is missing: apt-get install prometheus-node-exporter"
        );
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Command::new(EXPORTER)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let exporter = Exporter { child, port };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the exporter does not listen");
            std::thread::yield_now();
        }
        exporter
    }

    fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn our_page(scraper: &mut Scraper) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let told = scraper.scrape(Utc(now.as_micros() as i64), Mono(0));
    let mut text = String::new();
    exposition(&told.dict.expect("the first scrape has a dict"), &told.scrape, &mut text);
    text
}

fn is_listed(list: &[(&str, &str)], name: &str) -> bool {
    list.iter().any(|(prefix, _)| name.starts_with(prefix))
}

/// Labels as Prometheus stores them: an empty one is none. Listed ones are left out.
fn comparable(name: &str, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_excepted =
        |label: &str| LABELS.iter().any(|(family, l, _)| name.starts_with(family) && *l == label);
    labels
        .iter()
        .filter(|(label, value)| !value.is_empty() && !is_excepted(label))
        .map(|(label, value)| (label.clone(), value.clone()))
        .collect()
}

/// What is to be compared of a page: without exceptions, and of the frame only our collectors.
fn series(page: &Page, ours: &Page) -> BTreeMap<(String, BTreeMap<String, String>), f64> {
    let collectors: BTreeSet<&String> = ours
        .values
        .keys()
        .filter(|(name, _)| name == "node_scrape_collector_success")
        .filter_map(|(_, labels)| labels.get("collector"))
        .collect();
    let is_wanted = |name: &str, labels: &BTreeMap<String, String>| {
        !is_listed(NOT_OURS, name)
            && !is_listed(NOT_THEIRS, name)
            && labels.get("collector").is_none_or(|c| collectors.contains(c) && c != "muster")
    };
    page.values
        .iter()
        .filter(|((name, labels), _)| is_wanted(name, labels))
        .map(|((name, labels), value)| ((name.clone(), comparable(name, labels)), *value))
        .collect()
}

/// Gauges that swing from one look to the next, by more than half of themselves.
const SWINGING: &[&str] = &[
    "node_procs_",
    "node_sockstat_",
    "node_disk_io_now",
    "node_memory_Dirty_bytes",
    "node_memory_Writeback_bytes",
    "node_memory_Active_anon_bytes",
];

/// Whether our value lies between the exporter's before and after. Counters do so strictly, but for
/// the kernel's own wobble of some ticks; gauges may have swung meanwhile.
fn is_between(name: &str, kind: &str, (before, after): (f64, f64), ours: f64) -> bool {
    let (low, high) = (before.min(after), before.max(after));
    let slack = match kind {
        "counter" => 0.05,
        "untyped" => 10.0,
        _ if SWINGING.iter().any(|prefix| name.starts_with(prefix)) => 64.0 * 1024.0 * 1024.0,
        _ if high <= 1.0 && name != "node_load1" => 0.0,
        _ => high.abs() * 0.5,
    };
    low - slack <= ours && ours <= high + slack
}

#[test]
fn the_exporter_and_we_say_the_same() {
    let exporter = Exporter::start();
    let mut scraper = Scraper::new(Host::live(), Settings::default());
    let theirs = Page::parse(&exporter.scrape());
    let ours = Page::parse(&our_page(&mut scraper));
    let theirs_after = series(&Page::parse(&exporter.scrape()), &ours);
    let mut wrong = Vec::new();
    for name in theirs.families().difference(&ours.families()) {
        if !is_listed(NOT_OURS, name) {
            wrong.push(format!("family {name} is missing"));
        }
    }
    for name in ours.families().difference(&theirs.families()) {
        if !is_listed(NOT_THEIRS, name) {
            wrong.push(format!("family {name} is not the exporter's"));
        }
    }
    for (name, kind) in &theirs.types {
        if let Some(our_kind) = ours.types.get(name).filter(|our_kind| *our_kind != kind) {
            wrong.push(format!("{name} is a {kind}, not a {our_kind}"));
        }
    }
    let (their_series, our_series) = (series(&theirs, &ours), series(&ours, &ours));
    for ((name, labels), before) in &their_series {
        let Some(our_value) = our_series.get(&(name.clone(), labels.clone())) else {
            wrong.push(format!("series {name} {labels:?} is missing"));
            continue;
        };
        let kind = &theirs.types[name];
        let after = theirs_after.get(&(name.clone(), labels.clone())).unwrap_or(before);
        if !is_listed(OTHER_VALUES, name) && !is_between(name, kind, (*before, *after), *our_value)
        {
            let theirs = format!("{before} to {after}");
            wrong.push(format!("{name} {labels:?} is {theirs} to them, {our_value} to us"));
        }
    }
    for (name, labels) in our_series.keys() {
        if !their_series.contains_key(&(name.clone(), labels.clone()))
            && theirs.types.contains_key(name)
        {
            wrong.push(format!("series {name} {labels:?} is not the exporter's"));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(their_series.len() > 250, "only {} series compared", their_series.len());
}

#[test]
fn real_scrapes_cost_less_than_two_bytes_a_sample() {
    let mut scraper = Scraper::new(Host::live(), Settings::default());
    let mut sealer = Sealer::new().unwrap();
    let mut dict = None;
    let (mut bytes, mut samples) = (0, 0);
    for number in 0..12 {
        let at = Utc(1_795_239_429_000_000 + number * 15_000_000);
        let told = scraper.scrape(at, Mono(0));
        dict = told.dict.or(dict);
        let scrape = std::slice::from_ref(&told.scrape);
        let body = encode_scrapes(dict.as_ref().unwrap(), scrape);
        assert_eq!(parse_scrapes(dict.as_ref().unwrap(), &body).unwrap(), scrape);
        let records = told.scrape.values.len() as u32;
        let facts = BodyFacts { kind: Kind::Metric, dict: 1, records, first_at: at, last_at: at };
        bytes += sealer.seal(facts, &body).unwrap().body.len() + Header::BYTES;
        samples += records;
    }
    let per_sample = bytes as f64 / f64::from(samples);
    println!("{per_sample:.3} bytes a sample over {samples} samples");
    assert!(per_sample <= 2.0, "{per_sample}");
}
