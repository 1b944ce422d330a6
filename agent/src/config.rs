//! Configuration: files on disk → one merged document → valid values.
//!
//! Room: `agent::config`.  May use: `policy` (documents).  Used by: `app`, `cli`.
//!
//! The main file comes first, then the `*.toml` of the directory beside it (`agent.toml` → `agent.d/`)
//! in name order. A wrong configuration is refused whole, with every mistake at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_policy::document::{
    self, Complaints, Document, Section, SourceText, parse_address, parse_bytes, parse_host_name,
    parse_path, parse_span, parse_word,
};

pub use muster_policy::document::ConfigError;

mod checks;
mod logs;
#[cfg(test)]
mod reference;
mod uplink;

pub use checks::CheckConfig;
pub use logs::{FileConfig, JournaldConfig, LogsConfig};
pub use muster_policy::document::AggregatorAddress;
pub use uplink::{DatacenterConfig, Members, UplinkConfig};

/// Everything the agent was told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Spool, certificates, check memory. Default `/var/lib/muster/agent`.
    pub state_dir: PathBuf,
    /// Status socket. Default `/run/muster`.
    pub run_dir: PathBuf,
    /// Root of the file system that facts are read from. Default `/`; a recorded tree for tests.
    pub root: PathBuf,
    /// Who this host is.
    pub host: HostConfig,
    /// Where the records go.
    pub uplink: UplinkConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// Logs.
    pub logs: LogsConfig,
    /// Per check id: what the operator changed.
    pub checks: Vec<CheckConfig>,
    /// How much each lane may keep on disk.
    pub spool: SpoolConfig,
}

/// `[host]`
#[derive(Debug, Clone, Default)]
pub struct HostConfig {
    /// Host name; default: the certificate's.
    pub name: Option<String>,
    /// Datacenter the host stands in; default: the first of `[[uplink.datacenter]]`.
    pub datacenter: Option<String>,
    /// Role, e.g. `mariadb::core`.
    pub role: String,
    /// Free tags.
    pub tags: Vec<String>,
}

/// `[metrics]`
#[derive(Debug, Clone)]
pub struct MetricsConfig {
    /// Time between two scrapes. Default 15 s, at least 1 s.
    pub interval: Duration,
    /// Address of the local Prometheus listener; default: none.
    pub listen: Option<SocketAddr>,
}

/// `[spool]`: bytes of unacked frames each lane keeps on disk before its full rule applies.
#[derive(Debug, Clone, Copy)]
pub struct SpoolConfig {
    /// State lane. Default 64 MiB.
    pub state_bytes: u64,
    /// Metrics lane. Default 512 MiB; then the oldest are dropped and counted.
    pub metrics_bytes: u64,
    /// Logs lane. Default 4 GiB; then sources wait.
    pub logs_bytes: u64,
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
        let agent = root.section("agent");
        let path = |section: &Section<'_>, key: &'static str, default: &str| {
            section.parse(key, parse_path).unwrap_or_else(|| PathBuf::from(default))
        };
        let config = Config {
            state_dir: path(&agent, "state_dir", "/var/lib/muster/agent"),
            run_dir: path(&agent, "run_dir", "/run/muster"),
            root: path(&agent, "root", "/"),
            host: settle_host(root.section("host")),
            uplink: uplink::settle(root.section("uplink")),
            metrics: settle_metrics(root.section("metrics")),
            logs: logs::settle(root.section("logs")),
            checks: checks::settle(root.section("checks")),
            spool: settle_spool(root.section("spool")),
        };
        agent.finish();
        root.finish();
        config
    }

    /// The host's datacenter: as said, else the home of the uplink.
    pub fn datacenter(&self) -> &str {
        let home = || self.uplink.datacenters.first().map_or("", |home| home.name.as_str());
        self.host.datacenter.as_deref().unwrap_or_else(home)
    }
}

fn settle_host(section: Section<'_>) -> HostConfig {
    let host = HostConfig {
        name: section.parse("name", parse_host_name),
        datacenter: section.parse("datacenter", parse_word),
        role: section.parse("role", parse_word).unwrap_or_default(),
        tags: tags(&section),
    };
    section.finish();
    host
}

fn tags(section: &Section<'_>) -> Vec<String> {
    let mut tags = Vec::new();
    for tag in section.strings("tags").unwrap_or_default() {
        match parse_word(&tag.value) {
            Ok(word) => tags.push(word),
            Err(why) => tag.complain("wrong value of `host.tags`", why),
        }
    }
    tags
}

fn settle_metrics(section: Section<'_>) -> MetricsConfig {
    let interval = section.parse("interval", |text| {
        let span = parse_span(text)?;
        if span < Duration::from_secs(1) {
            return Err("at least 1s".to_owned());
        }
        Ok(span)
    });
    let metrics = MetricsConfig {
        interval: interval.unwrap_or(Duration::from_secs(15)),
        listen: section.parse("listen", parse_address),
    };
    section.finish();
    metrics
}

fn settle_spool(section: Section<'_>) -> SpoolConfig {
    const MIB: u64 = 1024 * 1024;
    let bytes = |key: &'static str, default: u64| {
        let amount = section.parse(key, |text| {
            let bytes = parse_bytes(text)?;
            if bytes < 32 * MIB { Err("at least 32MiB".to_owned()) } else { Ok(bytes) }
        });
        amount.unwrap_or(default)
    };
    let spool = SpoolConfig {
        state_bytes: bytes("state", 64 * MIB),
        metrics_bytes: bytes("metrics", 512 * MIB),
        logs_bytes: bytes("logs", 4096 * MIB),
    };
    section.finish();
    spool
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: Expect) {
        let source = SourceText { name: "agent.toml".into(), text: text.to_owned() };
        let outcome = match Config::settle(&[source]) {
            Ok(config) => format!("{config:#?}"),
            Err(complaints) => complaints.to_string(),
        };
        expected.assert_eq(&outcome);
    }

    #[test]
    fn five_mistakes_come_out_of_one_run() {
        check(
            r#"
[host]
name = "db 1150"
datacentre = "eqiad"

[[uplink.datacenter]]
name = "eqiad"
aggregators = ["agg1.eqiad.example.org"]

[metrics]
interval = "15"

[[logs.file]]
class = "web"

[checks."fs.space"]
warn = "much"
"#,
            expect![[r#"
                agent.toml:3:8: wrong value of `host.name`
                    hint: "db 1150" is not a host name
                agent.toml:4:1: unknown key `host.datacentre`
                    hint: did you mean `datacenter`?
                agent.toml:8:16: wrong value of `uplink.datacenter.aggregators`
                    hint: "agg1.eqiad.example.org" is not name:port, e.g. "agg1.eqiad.example.org:7460", or name@address:port
                agent.toml:11:12: wrong value of `metrics.interval`
                    hint: "15" is not a span of time such as "15s", "5m", "12h" or "90d"
                agent.toml:13:1: `logs.file.paths` is missing
                    hint: list globs, e.g. paths = ["/var/log/*.log"]
                agent.toml:17:8: `checks.fs.space.warn` must be a number
                    hint: it is string here
                6 mistakes"#]],
        );
    }

    #[test]
    fn a_check_that_is_not_there_cannot_be_changed() {
        check(
            "[checks.'fs.spcae']\nwarn = 10\n",
            expect![[r#"
                agent.toml:1:1: there is no check `fs.spcae`
                    hint: did you mean `fs.space`?
                1 mistake"#]],
        );
    }

    #[test]
    fn the_smallest_useful_configuration() {
        check(
            r#"
[[uplink.datacenter]]
name = "eqiad"
aggregators = ["agg1.eqiad.example.org:7460"]
[[uplink.datacenter]]
name = "codfw"
srv = "_muster._udp.codfw.example.org"
"#,
            expect![[r#"
                Config {
                    state_dir: "/var/lib/muster/agent",
                    run_dir: "/run/muster",
                    root: "/",
                    host: HostConfig {
                        name: None,
                        datacenter: None,
                        role: "",
                        tags: [],
                    },
                    uplink: UplinkConfig {
                        datacenters: [
                            DatacenterConfig {
                                name: "eqiad",
                                members: Listed(
                                    [
                                        AggregatorAddress {
                                            name: "agg1.eqiad.example.org",
                                            host: "agg1.eqiad.example.org",
                                            port: 7460,
                                        },
                                    ],
                                ),
                            },
                            DatacenterConfig {
                                name: "codfw",
                                members: Srv(
                                    "_muster._udp.codfw.example.org",
                                ),
                            },
                        ],
                        away_after: 1s,
                        home_stable: 120s,
                        probe_interval: 30s,
                        home_spread: 300s,
                        heartbeat: 10s,
                    },
                    metrics: MetricsConfig {
                        interval: 15s,
                        listen: None,
                    },
                    logs: LogsConfig {
                        files: [],
                        journald: JournaldConfig {
                            enabled: true,
                            directory: None,
                            class: "system",
                        },
                    },
                    checks: [],
                    spool: SpoolConfig {
                        state_bytes: 67108864,
                        metrics_bytes: 536870912,
                        logs_bytes: 4294967296,
                    },
                }"#]],
        );
    }
}
