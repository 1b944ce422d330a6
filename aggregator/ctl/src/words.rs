//! What can be typed. The help, the manual and the completions come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Asks any aggregator about the whole fleet: hosts, checks, logs, metrics.
///
/// On an aggregator it uses the local socket and needs no setting. From elsewhere: --url, --token-file and --ca,
/// or the same keys in ~/.config/muster/ctl.toml. Any aggregator answers for all; one that is silent is named.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "musterctl",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    after_help = format!("Exit codes: {EXIT_CODES}\nConfig: {CONFIG}\nManual: musterctl man | man -l -\nCompletions: musterctl completions bash|zsh|fish")
)]
pub struct Words {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Socket of the aggregator on this machine [env: MUSTER_SOCKET] [default: /run/muster/aggregator.sock]
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "url")]
    pub socket: Option<PathBuf>,
    /// An aggregator's HTTPS address, e.g. https://agg1.example.org:7480 [env: MUSTER_URL]
    #[arg(long, global = true, value_name = "URL")]
    #[allow(rustdoc::bare_urls, reason = "it is the help text, too")]
    pub url: Option<String>,
    /// File with the token for --url; nobody else may read it
    #[arg(long, global = true, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) that --url is checked against, instead of the system's
    #[arg(long, global = true, value_name = "PATH")]
    pub ca: Option<PathBuf>,
    /// Print JSON: an array for listings, one object a line for logs
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour; NO_COLOR is heeded
    #[arg(long, global = true, value_name = "WHEN")]
    pub color: Option<When>,
}

/// How a run can end; also a section of the manual page.
pub const EXIT_CODES: &str = "0 fine, 2 wrong usage, 3 not found, 4 not authorised, 5 partial answer (an aggregator was \
silent; standard error names it), 6 timeout, 69 aggregator unavailable, 70 a bug or no room for the output, 77 permission denied, 78 wrong config.";
/// The config file, as the help says it.
pub const CONFIG: &str = "~/.config/muster/ctl.toml, or $XDG_CONFIG_HOME/muster/ctl.toml, with the keys url, socket, \
token-file, ca, color. Flags win over the environment, the environment over this file.";
/// What the environment says; a section of the manual page.
pub const ENVIRONMENT: &str = "MUSTER_URL, MUSTER_SOCKET: where the aggregator is, when no flag says so. NO_COLOR: no \
colour. XDG_CONFIG_HOME: where the config file is looked for.";
/// Where things lie; a section of the manual page.
pub const FILES: &[(&str, &str)] = &[
    (
        "~/.config/muster/ctl.toml",
        "The keys url, socket, token-file, ca, color. Flags win over the environment, the environment over this file.",
    ),
    (
        "/run/muster/aggregator.sock",
        "The aggregator of this machine, asked when nothing else is said.",
    ),
];

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Counts of hosts and checks, and which aggregators answer: begin here
    Status,
    /// Hosts, all or selected: `musterctl hosts datacenter=eqiad not state=live`
    Hosts {
        /// Terms, all of which must hold: KEY=PATTERN[,PATTERN...], or `not` before one. Keys: host, datacenter, role,
        /// tag, state (live, late, lost, departed), aggregator, os, kernel, agent_version. A bare pattern is a host
        /// name. Patterns may have `*` and `?`
        selector: Vec<String>,
    },
    /// One host: what it is, and all its checks
    Host {
        /// Its full name
        #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Checks of all hosts, the worst first: `musterctl checks --state crit,warn`
    Checks(ChecksWords),
    /// What is wrong with the fleet, once for each cause: a lost datacenter is one incident
    Incidents(IncidentsWords),
    /// Log lines that contain QUERY, the latest last; `-f` goes on with new ones
    Logs(LogsWords),
    /// Last values of series, or a range: `musterctl metrics 'node_load1{host=~"db.*"}' --since 1h`
    Metrics(MetricsWords),
    /// Completions for a shell
    #[command(hide = true)]
    Completions {
        /// bash, zsh or fish
        shell: clap_complete::Shell,
    },
    /// The manual page
    #[command(hide = true)]
    Man,
}

/// Which checks.
#[derive(Debug, Clone, Args)]
pub struct ChecksWords {
    /// Only these states: ok, warn, crit, unknown; several with commas
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Only checks of this id; `*` and `?` are globs
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Hosts, as for `musterctl hosts`
    pub selector: Vec<String>,
}

/// Which incidents.
#[derive(Debug, Clone, Args)]
pub struct IncidentsWords {
    /// Also those that are over, of the last seven days
    #[arg(long)]
    pub all: bool,
}

/// Which log lines.
#[derive(Debug, Clone, Args)]
pub struct LogsWords {
    /// Text that the line contains; nothing = every line
    pub query: Option<String>,
    /// Take QUERY as a regular expression
    #[arg(long)]
    pub regex: bool,
    /// Ignore case in QUERY
    #[arg(short, long)]
    pub ignore_case: bool,
    /// From then on: 1h, 30m, 2026-11-20T10:00:00Z, "2026-11-20 10:00", 10:00, today, yesterday [default: 1h ago]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Before then; the same forms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Only these hosts; globs, several with commas
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Only these log classes
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// Only lines this bad or worse: emerg, alert, crit, err, warning, notice, info, debug
    #[arg(long, value_name = "SEVERITY")]
    pub severity: Option<String>,
    /// Only these datacenters
    #[arg(long, value_name = "DC")]
    pub datacenter: Option<String>,
    /// Only these programs
    #[arg(long, value_name = "PROGRAM")]
    pub program: Option<String>,
    /// Only these files or units
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// At most so many lines, the latest ones [default: 1000, with -f 10]
    #[arg(long, short = 'n', value_name = "N")]
    pub limit: Option<usize>,
    /// Go on with new lines until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
}

/// Which series.
#[derive(Debug, Clone, Args)]
pub struct MetricsWords {
    /// A selector as in Prometheus: NAME{label="value",other=~"regex"}
    pub query: String,
    /// A range from then on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// The range ends then [default: now]
    #[arg(long, value_name = "TIME", requires = "since", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Between the points of a range: 15s, 5m, 1h
    #[arg(long, value_name = "SPAN", requires = "since")]
    pub step: Option<String>,
}
