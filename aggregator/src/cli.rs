//! The words of `muster-aggregator`: what may be typed, and the help that says so.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use muster_program::lane::LaneName;

/// How a run can end; also a section of the manual page.
pub const EXIT_CODES: &str = "0 fine, 1 a problem was found (spool verify), 2 wrong usage, 69 something needed is not \
available, 70 a bug, 77 permission denied, 78 wrong configuration or no certificate.";
/// What the environment says; also a section of the manual page.
pub const ENVIRONMENT: &str = "MUSTER_AGGREGATOR_CONFIG: the configuration file, when --config is not given. \
MUSTER_LOG: what `run` writes to standard error: error, warn, info (default), debug, trace.";
/// Where things lie by default: path and what it is. A section of the manual page.
pub const FILES: &[(&str, &str)] = &[
    ("/etc/muster/aggregator.toml", "The configuration. The one in the package names every key."),
    ("/etc/muster/aggregator.d/*.toml", "Drop-ins, laid over it in name order."),
    (
        "/var/lib/muster/aggregator/ca",
        "The certificate authority, on the aggregator that has it. Back it up.",
    ),
    ("/var/lib/muster/aggregator/identity", "Key, certificate and the authority's certificate."),
    (
        "/var/lib/muster/aggregator/inbox",
        "One inbox per lane: what was acked and no store has sealed yet.",
    ),
    (
        "/var/lib/muster/aggregator/logs/CLASS",
        "Log lines: one SQLite file a UTC day. Retention removes whole files.",
    ),
    ("/var/lib/muster/aggregator/metrics", "Samples: one SQLite file a UTC day."),
    ("/var/lib/muster/aggregator/state.db", "The roster: hosts and their checks."),
    ("/var/lib/muster/aggregator/api.tokens", "Hashes of the API's tokens."),
    (
        "/run/muster/aggregator.sock",
        "The API for musterctl on this machine: root, our user, group muster-admin.",
    ),
];

/// Takes in what the agents of a datacenter send, keeps it, and answers questions about the fleet.
///
/// To begin: write the configuration, `muster-aggregator check-config`, `muster-aggregator init`, then
/// `muster-aggregator run`. For each host: `muster-aggregator token create`. Ask with musterctl.
#[derive(Debug, Parser)]
#[command(
    name = "muster-aggregator",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    after_help = format!("Exit codes: {EXIT_CODES}\nEnvironment: {ENVIRONMENT}\nManual: muster-aggregator man | man -l -\nCompletions: muster-aggregator completions bash|zsh|fish")
)]
pub struct Words {
    /// Configuration file. The *.toml of the directory aggregator.d beside it are laid over it in name order.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/muster/aggregator.toml",
        env = "MUSTER_AGGREGATOR_CONFIG"
    )]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the aggregator in the foreground until SIGTERM or Ctrl-C.
    Run,
    /// Check the configuration and its drop-ins: every mistake with file, line, column and a hint.
    CheckConfig,
    /// Make the certificate authority and this aggregator's certificate, once; or join an authority.
    ///
    /// The first aggregator makes the authority. Each other one joins it: on the first,
    /// `token create --role aggregator`; here, `init --join FIRST:7460 --token TOKEN`.
    Init {
        /// Organisation in the authority's name.
        #[arg(long, default_value = "Muster", value_name = "NAME")]
        organisation: String,
        /// Join an existing authority instead of making one: its aggregator, name:port or name@address:port.
        #[arg(long, value_name = "AGGREGATOR", requires = "token")]
        join: Option<String>,
        /// Token of role aggregator, from the aggregator that has the authority.
        #[arg(long, value_name = "TOKEN", requires = "join")]
        token: Option<String>,
    },
    /// Tokens: for hosts and aggregators to get their certificates, for admins to use the API.
    Token {
        /// What to do.
        #[command(subcommand)]
        verb: TokenVerb,
    },
    /// List or revoke certificates; on the aggregator that has the authority.
    Cert {
        /// What to do.
        #[command(subcommand)]
        verb: CertVerb,
    },
    /// Replace the certificate authority, step by step, under load; on the aggregator that has it.
    Ca {
        /// What to do.
        #[command(subcommand)]
        verb: CaVerb,
    },
    /// Look into the inbox: the frames that wait for a store.
    ///
    /// ls and verify only read, and work beside a running aggregator; repair needs it stopped.
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
    Man,
}

/// `token …`
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token and print it. Only its hash is kept: this is the one time it is seen.
    Create(NewToken),
    /// Every token that is known here, and whether it still opens anything.
    Ls {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// End a token at once. Certificates that it fetched stay good: see cert revoke.
    Revoke {
        /// Its id, as token ls shows it.
        id: String,
    },
}

/// What a new token is good for.
#[derive(Debug, Args)]
pub struct NewToken {
    /// How long it may be used: 30m, 1h, 90d.
    #[arg(long, default_value = "1h", value_parser = parse_span, value_name = "SPAN")]
    pub ttl: Duration,
    /// How many certificates it may fetch; not for roles reader and admin. [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: Option<u32>,
    /// Only for host names that match this glob [default: any]; for roles reader and admin: whose token it is
    #[arg(long, value_name = "GLOB", value_parser = parse_word)]
    pub host: Option<String>,
    /// What it is for.
    #[arg(long, default_value = "agent")]
    pub role: RoleName,
    /// Restricted log class that a reader may read; several times for several. Only for role reader.
    #[arg(long = "class", value_name = "CLASS", value_parser = parse_class)]
    pub classes: Vec<String>,
}

/// `ca …`
#[derive(Debug, Subcommand)]
pub enum CaVerb {
    /// Which step was taken last, which authorities there are, and who still has a certificate of the old one.
    Show {
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Take the next step: announce, then switch, then retire.
    Rotate {
        /// announce: make the next authority, trusted from now on. switch: it issues, and all renew over --spread.
        /// retire: trust the old one no more.
        step: RotateStep,
        /// Hosts renew their certificates over this time after a switch.
        #[arg(long, default_value = "1h", value_parser = parse_span, value_name = "SPAN")]
        spread: Duration,
        /// retire also while hosts have certificates of the old authority: they must enrol again.
        #[arg(long)]
        force: bool,
    },
}

/// One step of a rollover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RotateStep {
    /// Make the next authority.
    Announce,
    /// Let it issue.
    Switch,
    /// Trust the old one no more.
    Retire,
}

/// `cert …`
#[derive(Debug, Subcommand)]
pub enum CertVerb {
    /// Every certificate that was issued, and whether it is revoked.
    Ls {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Revoke every certificate of a name, on every aggregator within seconds. Live connections are closed.
    Revoke {
        /// Host name.
        name: String,
    },
}

/// `spool …`
#[derive(Debug, Subcommand)]
pub enum SpoolVerb {
    /// Segments, positions and cursors of each lane.
    ///
    /// Shows what is committed. On disk counts free segments, too, that wait for use.
    Ls {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Read everything and check every checksum. Exit code 1 when something is damaged.
    Verify {
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Rewrite damaged segments, keep every good frame. Stop the aggregator first.
    Repair {
        /// Which lane.
        #[arg(long)]
        lane: LaneName,
    },
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// A host's agent.
    Agent,
    /// An aggregator.
    Aggregator,
    /// A person or program that asks the API over HTTPS: no certificate, the token itself is shown
    /// each time (musterctl --token-file). --host gives it a name. May ask everything but lines of
    /// restricted log classes, of which it may read those that --class names.
    Reader,
    /// The same, and may read every log class.
    Admin,
}

fn parse_word(text: &str) -> Result<String, String> {
    muster_policy::document::parse_word(text)
}

fn parse_class(text: &str) -> Result<String, String> {
    muster_policy::document::parse_class(text)
}

fn parse_span(text: &str) -> Result<Duration, String> {
    muster_policy::document::parse_span(text)
}
