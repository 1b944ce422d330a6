//! The words of `muster-agent`: what may be typed, and the help that says so.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use muster_policy::document;
use muster_program::lane::LaneName;

/// How a run can end; also a section of the manual page.
pub const EXIT_CODES: &str = "0 fine, 1 a problem was found (checks run, spool verify, spool export), 2 wrong \
usage, 69 something needed is not available, 70 a bug, 77 permission denied, 78 wrong configuration or not enrolled.";
/// What the environment says; also a section of the manual page.
pub const ENVIRONMENT: &str = "MUSTER_AGENT_CONFIG: the configuration file, when --config is not given. MUSTER_LOG: \
what `run` writes to standard error: error, warn, info (default), debug, trace.";
/// Where things lie by default: path and what it is. A section of the manual page.
pub const FILES: &[(&str, &str)] = &[
    ("/etc/muster/agent.toml", "The configuration. The one in the package names every key."),
    ("/etc/muster/agent.d/*.toml", "Drop-ins, laid over it in name order."),
    ("/var/lib/muster/agent/identity", "Key, certificate and the authority's certificate."),
    ("/var/lib/muster/agent/spool", "One spool per lane: what no aggregator has acked yet."),
    ("/run/muster/agent.sock", "Status socket of the running agent."),
];

/// Watches this host (metrics, health checks, logs) and forwards everything to the aggregators.
///
/// To begin: write the configuration, `muster-agent check-config`, `muster-agent enroll`, then
/// `muster-agent run`. `checks` and `metrics` work at once, without configuration or aggregator.
#[derive(Debug, Parser)]
#[command(
    name = "muster-agent",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    after_help = format!("Exit codes: {EXIT_CODES}\nEnvironment: {ENVIRONMENT}\nManual: muster-agent man | man -l -\nCompletions: muster-agent completions bash|zsh|fish")
)]
pub struct Words {
    /// Configuration file. The *.toml of the directory agent.d beside it are laid over it in name order.
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
    /// Run the agent in the foreground until SIGTERM or Ctrl-C.
    Run,
    /// Check the configuration and its drop-ins: every mistake with file, line, column and a hint.
    CheckConfig,
    /// Show what the running agent does: uplink, lanes, checks, log sources.
    Status {
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// List the health checks, or run them once here and now.
    Checks {
        /// List or run.
        #[command(subcommand)]
        verb: ChecksVerb,
    },
    /// Read all metrics of this host once and print them in the Prometheus text format.
    Metrics {
        /// Print JSON instead of the text format.
        #[arg(long)]
        json: bool,
    },
    /// Get this host's certificate from an aggregator, with a token from `muster-aggregator token create`.
    Enroll {
        /// The token; `-` reads it from standard input, so that it shows in no process list.
        #[arg(long, value_name = "TOKEN")]
        token: String,
        /// The aggregator that has the authority: name:port, or name@address:port where DNS has no such name.
        #[arg(long, value_name = "AGGREGATOR")]
        aggregator: String,
        /// Name for the certificate [default: `name` of `[host]`, else this host's name]
        #[arg(long, value_name = "NAME", value_parser = parse_host_name)]
        name: Option<String>,
    },
    /// Look into the spool: the frames that wait for an aggregator.
    ///
    /// ls, verify and export only read, and work beside a running agent; repair needs it stopped.
    Spool {
        /// What to do with it.
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
    Man {
        /// Print muster-checks(7) instead: every check with its thresholds and what to do.
        #[arg(long)]
        checks: bool,
    },
}

fn parse_host_name(text: &str) -> Result<String, String> {
    document::parse_host_name(text)
}

/// `checks …`
#[derive(Debug, Subcommand)]
pub enum ChecksVerb {
    /// Every check the agent knows, and how many objects it has on this host.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Ask every check now, without debounce. Exit code 1 when a verdict is not ok.
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
    ///
    /// Shows what is committed. A running agent notes an ack on disk with its next commit, so its own word
    /// (muster-agent status) may be ahead. On disk counts free segments, too, that wait for use.
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
    /// Write what waits to standard output: log lines and state records as text, or the raw frames.
    Export {
        /// Which lane.
        #[arg(long)]
        lane: LaneName,
        /// First seq [default: the oldest there is]
        #[arg(long)]
        from: Option<u64>,
        /// Last seq [default: the newest there is]
        #[arg(long)]
        to: Option<u64>,
        /// The frames byte for byte, one after another, instead of text.
        #[arg(long)]
        raw: bool,
    },
    /// Rewrite damaged segments, keep every good frame, put the damaged files aside. Stop the agent first.
    Repair {
        /// Which lane.
        #[arg(long)]
        lane: LaneName,
    },
}
