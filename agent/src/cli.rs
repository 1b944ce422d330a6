//! The words of `muster-agent`: what may be typed, and the help that says so.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use muster_proto::lane::Lane;

/// Watches this host: metrics, health checks and logs, forwarded to the aggregators.
///
/// Exit codes: 0 ok, 1 problem found, 2 usage, 69 unavailable, 70 our bug, 77 permission, 78 config.
#[derive(Debug, Parser)]
#[command(name = "muster-agent", version, max_term_width = 100)]
pub struct Words {
    /// Configuration file; the *.toml of the directory beside it (agent.d) are laid over it.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/muster/agent.toml",
        env = "MUSTER_AGENT_CONFIG"
    )]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the agent in the foreground (systemd does this).
    Run,
    /// Check the configuration and its drop-ins, print every mistake, and exit with 78 if there is one.
    CheckConfig,
    /// Show what the running agent does.
    Status {
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// List the checks, or run them once here and now.
    Checks {
        /// Which.
        #[command(subcommand)]
        verb: ChecksVerb,
    },
    /// Read all metrics once and print them in the Prometheus text format.
    Metrics {
        /// Print JSON instead of the text format.
        #[arg(long)]
        json: bool,
    },
    /// Ask an aggregator for this host's certificate, with a token from `muster-aggregator token create`.
    Enroll {
        /// The token. Read from standard input when it is `-`.
        #[arg(long, value_name = "TOKEN")]
        token: String,
        /// The aggregator: name:port or name@address:port.
        #[arg(long, value_name = "AGGREGATOR")]
        aggregator: String,
        /// Name for the certificate; default: `[host] name`, else this host's name.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Look into the spool: the frames that wait for an aggregator. Works beside a running agent.
    Spool {
        /// Which.
        #[command(subcommand)]
        verb: SpoolVerb,
    },
    /// Print a shell completion script.
    #[command(hide = true)]
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(hide = true)]
    Man,
}

/// `checks …`
#[derive(Debug, Subcommand)]
pub enum ChecksVerb {
    /// Every check the agent knows, and whether its object exists here.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Evaluate now, without debounce. Exit code 1 when a verdict is not ok.
    Run {
        /// Only this check, e.g. fs.space.
        id: Option<String>,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
}

/// `spool …`
#[derive(Debug, Subcommand)]
pub enum SpoolVerb {
    /// Segments, positions and cursors of each lane.
    Ls {
        /// Only this lane.
        #[arg(long)]
        lane: Option<LaneName>,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Read everything and check every checksum. Exit code 1 when something is damaged.
    Verify {
        /// Only this lane.
        #[arg(long)]
        lane: Option<LaneName>,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Write frames to standard output: log lines and state as text, or the raw frames.
    Export {
        /// Which lane.
        #[arg(long)]
        lane: LaneName,
        /// First seq; default: the oldest there is.
        #[arg(long)]
        from: Option<u64>,
        /// Last seq; default: the newest there is.
        #[arg(long)]
        to: Option<u64>,
        /// The frames byte for byte, one after another, instead of text.
        #[arg(long)]
        raw: bool,
    },
    /// Rewrite damaged segments, keep every good frame, put the damaged files aside. The agent must be stopped.
    Repair {
        /// Which lane.
        #[arg(long)]
        lane: LaneName,
    },
}

/// A lane on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LaneName {
    /// Check transitions, heartbeats, facts.
    State,
    /// Samples.
    Metrics,
    /// Log lines.
    Logs,
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Lane {
        match name {
            LaneName::State => Lane::State,
            LaneName::Metrics => Lane::Metrics,
            LaneName::Logs => Lane::Logs,
        }
    }
}
