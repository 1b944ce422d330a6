//! Configuration: files on disk → one merged document → valid values.
//!
//! Room: `aggregator::config`.  May use: `policy` (documents).  Used by: `app`, `cli`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_policy::document::{
    self, Complaints, Document, Section, SourceText, parse_address, parse_bytes, parse_class,
    parse_host_and_port, parse_host_name, parse_path, parse_span, parse_word,
};

pub use muster_policy::document::ConfigError;

#[cfg(test)]
mod reference;

const DAY: Duration = Duration::from_secs(86_400);
const MIB: u64 = 1024 * 1024;

/// Everything the aggregator was told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name; must be its certificate's.
    pub name: String,
    /// Datacenter it stands in.
    pub datacenter: String,
    /// Spool, stores, certificates. Default `/var/lib/muster/aggregator`.
    pub state_dir: PathBuf,
    /// The API's socket. Default `/run/muster/aggregator.sock`.
    pub socket: PathBuf,
    /// The small CA, on the aggregators that have it; default `ca` in the state directory.
    pub ca_dir: PathBuf,
    /// Address of the QUIC endpoint. Default `[::]:7460`.
    pub quic: SocketAddr,
    /// Address of the HTTPS API. Default `[::]:7480`; `"off"` switches it off.
    pub https: Option<SocketAddr>,
    /// Address of a plain-HTTP listener that only serves `/metrics` and `/federate`; default: none.
    pub metrics: Option<SocketAddr>,
    /// The other aggregators.
    pub peers: Vec<PeerConfig>,
    /// Per log class.
    pub classes: BTreeMap<String, ClassConfig>,
    /// How long samples are kept. Default 30 d.
    pub metrics_retention: Duration,
    /// Stores and inbox.
    pub store: StoreConfig,
}

/// `[[peer]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Name its certificate must carry.
    pub name: String,
    /// Datacenter it stands in.
    pub datacenter: String,
    /// `host:port`.
    pub address: String,
}

/// `[class.NAME]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassConfig {
    /// How long lines are kept. Default 90 d.
    pub retention: Duration,
    /// Only roles that name it may read it.
    pub restricted: bool,
}

impl Default for ClassConfig {
    fn default() -> ClassConfig {
        ClassConfig { retention: 90 * DAY, restricted: false }
    }
}

/// `[store]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreConfig {
    /// Bytes of each lane's inbox. Default 4 GiB; when full, agents keep their frames.
    pub inbox_bytes: u64,
    /// Log bytes collected in memory before a part is sealed. Default 64 MiB.
    pub seal_bytes: u64,
    /// Age of the oldest line in memory at which a part is sealed. Default 15 min.
    pub seal_age: Duration,
}

impl Config {
    /// Reads `main` and its drop-ins and settles them.
    ///
    /// # Errors
    /// [`ConfigError::Read`] when a file is there but unreadable, or `main` is absent;
    /// [`ConfigError::Wrong`] with every mistake of all files.
    pub fn load(main: &Path) -> Result<Config, ConfigError> {
        document::load(main, Config::settle)
    }

    /// Settles the texts; pure.
    ///
    /// # Errors
    /// Every mistake, with file, line, column and a hint.
    pub fn settle(sources: &[SourceText]) -> Result<Config, Complaints> {
        document::settle(sources, Config::read)
    }

    /// Reads the keys; what is wrong with them stays in the document.
    fn read(document: &Document<'_>) -> Config {
        let root = document.root();
        let section = root.section("aggregator");
        let (name, datacenter) = identity(&section);
        let path = |key: &'static str| section.parse(key, parse_path);
        let state_dir =
            path("state_dir").unwrap_or_else(|| PathBuf::from("/var/lib/muster/aggregator"));
        let listen = root.section("listen");
        let metrics = root.section("metrics");
        let peers = settle_peers(root.sections("peer"), &name);
        let config = Config {
            socket: path("socket").unwrap_or_else(|| PathBuf::from("/run/muster/aggregator.sock")),
            ca_dir: path("ca_dir").unwrap_or_else(|| state_dir.join("ca")),
            name,
            datacenter,
            state_dir,
            quic: listen.parse("quic", parse_address).unwrap_or(any(7460)),
            https: listen.parse("https", optional_address).unwrap_or(Some(any(7480))),
            metrics: listen.parse("metrics", parse_address),
            peers,
            classes: settle_classes(root.section("class")),
            metrics_retention: metrics.parse("retention", parse_retention).unwrap_or(30 * DAY),
            store: settle_store(root.section("store")),
        };
        for section in [section, listen, metrics, root] {
            section.finish();
        }
        config
    }

    /// What holds for a log class.
    pub fn class(&self, name: &str) -> ClassConfig {
        self.classes.get(name).copied().unwrap_or_default()
    }
}

fn identity(section: &Section<'_>) -> (String, String) {
    let hint = "the name in this aggregator's certificate";
    let name = section.required("name", parse_host_name, hint);
    let datacenter = section.required("datacenter", parse_word, "say where this aggregator stands");
    (name.unwrap_or_default(), datacenter.unwrap_or_default())
}

fn settle_peers(sections: Vec<Section<'_>>, own_name: &str) -> Vec<PeerConfig> {
    let mut known = vec![own_name.to_owned()];
    let each = sections.into_iter().filter_map(|section| settle_peer(section, &mut known));
    each.collect()
}

/// `known`: names that are taken.
fn settle_peer(section: Section<'_>, known: &mut Vec<String>) -> Option<PeerConfig> {
    let hint = "a peer has name, datacenter and address";
    let name = section.required("name", parse_host_name, hint);
    if let Some(name) = &name {
        if known.contains(name) {
            let hint = "list each other aggregator once, and not this one";
            section.complain(format!("{name} is listed already"), hint);
        }
        known.push(name.clone());
    }
    let datacenter = section.required("datacenter", parse_word, hint);
    let address = section.required("address", parse_host_and_port, hint);
    section.finish();
    Some(PeerConfig { name: name?, datacenter: datacenter?, address: address? })
}

fn settle_classes(section: Section<'_>) -> BTreeMap<String, ClassConfig> {
    let mut classes = BTreeMap::new();
    for (name, section) in section.named() {
        let default = ClassConfig::default();
        let class = ClassConfig {
            retention: section.parse("retention", parse_retention).unwrap_or(default.retention),
            restricted: section.boolean("restricted").unwrap_or(default.restricted),
        };
        match parse_class(&name) {
            Ok(name) => drop(classes.insert(name, class)),
            Err(why) => section.complain("wrong name of a class", why),
        }
        section.finish();
    }
    classes
}

fn settle_store(section: Section<'_>) -> StoreConfig {
    let at_least = |key: &'static str, least_mib: u64, default: u64| {
        let amount = section.parse(key, |text| match parse_bytes(text)? {
            bytes if bytes < least_mib * MIB => Err(format!("at least \"{least_mib}MiB\"")),
            bytes => Ok(bytes),
        });
        amount.unwrap_or(default)
    };
    let store = StoreConfig {
        inbox_bytes: at_least("inbox", 64, 4096 * MIB),
        seal_bytes: at_least("seal_bytes", 1, 64 * MIB),
        seal_age: section.span("seal_age").unwrap_or(Duration::from_secs(900)),
    };
    section.finish();
    store
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// Day files are kept or removed whole.
fn parse_retention(text: &str) -> Result<Duration, String> {
    match parse_span(text)? {
        kept if kept < DAY => Err("at least \"1d\": whole days are kept".to_owned()),
        kept => Ok(kept),
    }
}

fn optional_address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" { Ok(None) } else { parse_address(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: Expect) {
        let source = SourceText { name: "aggregator.toml".into(), text: text.to_owned() };
        let outcome = match Config::settle(&[source]) {
            Ok(config) => format!("{config:#?}"),
            Err(complaints) => complaints.to_string(),
        };
        expected.assert_eq(&outcome);
    }

    #[test]
    fn the_design_s_example_is_valid() {
        check(
            r#"
[aggregator]
name = "agg1.eqiad.example.org"
datacenter = "eqiad"
state_dir = "/var/lib/muster/aggregator"

[listen]
quic  = "[::]:7460"
https = "[::]:7480"

[[peer]]
name = "agg2.eqiad.example.org"
datacenter = "eqiad"
address = "agg2.eqiad.example.org:7460"

[class.web]
retention = "90d"
restricted = true
"#,
            expect![[r#"
                Config {
                    name: "agg1.eqiad.example.org",
                    datacenter: "eqiad",
                    state_dir: "/var/lib/muster/aggregator",
                    socket: "/run/muster/aggregator.sock",
                    ca_dir: "/var/lib/muster/aggregator/ca",
                    quic: [::]:7460,
                    https: Some(
                        [::]:7480,
                    ),
                    metrics: None,
                    peers: [
                        PeerConfig {
                            name: "agg2.eqiad.example.org",
                            datacenter: "eqiad",
                            address: "agg2.eqiad.example.org:7460",
                        },
                    ],
                    classes: {
                        "web": ClassConfig {
                            retention: 7776000s,
                            restricted: true,
                        },
                    },
                    metrics_retention: 2592000s,
                    store: StoreConfig {
                        inbox_bytes: 4294967296,
                        seal_bytes: 67108864,
                        seal_age: 900s,
                    },
                }"#]],
        );
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        check(
            r#"
[aggregator]
name = "agg1"
datacenter = "eqiad"
[class.web]
retention = "0d"
[metrics]
retention = "23h"
[store]
inbox = "1MiB"
seal_bytes = "1KB"
[[peer]]
name = "agg2"
datacenter = "eqiad"
address = "a@b@c:1"
[[peer]]
name = "agg1"
datacenter = "eqiad"
address = "agg1:1"
"#,
            expect![[r#"
                aggregator.toml:6:13: wrong value of `class.web.retention`
                    hint: at least "1d": whole days are kept
                aggregator.toml:8:13: wrong value of `metrics.retention`
                    hint: at least "1d": whole days are kept
                aggregator.toml:10:9: wrong value of `store.inbox`
                    hint: at least "64MiB"
                aggregator.toml:11:14: wrong value of `store.seal_bytes`
                    hint: at least "1MiB"
                aggregator.toml:15:11: wrong value of `peer.address`
                    hint: "a@b@c:1" is not host:port, e.g. "agg2.eqiad.example.org:7460"
                aggregator.toml:16:1: agg1 is listed already
                    hint: list each other aggregator once, and not this one
                6 mistakes"#]],
        );
        check(
            "",
            expect![[r#"
            aggregator.toml:1:1: `aggregator.name` is missing
                hint: the name in this aggregator's certificate
            aggregator.toml:1:1: `aggregator.datacenter` is missing
                hint: say where this aggregator stands
            2 mistakes"#]],
        );
    }

    #[test]
    fn five_mistakes_come_out_of_one_run() {
        check(
            r#"
[aggregator]
name = "agg 1"
dataventer = "eqiad"

[listen]
quic = "7460"

[[peer]]
name = "agg2"
address = "agg2"

[class.web]
retention = "forever"
"#,
            expect![[r#"
                aggregator.toml:2:1: `aggregator.datacenter` is missing
                    hint: say where this aggregator stands
                aggregator.toml:3:8: wrong value of `aggregator.name`
                    hint: "agg 1" is not a host name
                aggregator.toml:4:1: unknown key `aggregator.dataventer`
                    hint: did you mean `datacenter`?
                aggregator.toml:7:8: wrong value of `listen.quic`
                    hint: "7460" is not an address such as "127.0.0.1:9100"
                aggregator.toml:9:1: `peer.datacenter` is missing
                    hint: a peer has name, datacenter and address
                aggregator.toml:11:11: wrong value of `peer.address`
                    hint: "agg2" is not host:port, e.g. "agg2.eqiad.example.org:7460"
                aggregator.toml:14:13: wrong value of `class.web.retention`
                    hint: "forever" is not a span of time such as "15s", "5m", "12h" or "90d"
                7 mistakes"#]],
        );
    }
}
