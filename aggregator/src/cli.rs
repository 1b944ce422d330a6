//! The words of `muster-aggregator`: what may be typed, and the help that says so.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use muster_proto::lane::Lane;

/// Takes in what the agents of a datacenter send, keeps it, and answers questions about the fleet.
///
/// Exit codes: 0 ok, 1 problem found, 2 usage, 69 unavailable, 70 our bug, 77 permission, 78 config.
#[derive(Debug, Parser)]
#[command(name = "muster-aggregator", version, max_term_width = 100)]
pub struct Words {
    /// Configuration file; the *.toml of the directory beside it (aggregator.d) are laid over it.
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
    /// Run the aggregator in the foreground (systemd does this).
    Run,
    /// Check the configuration and its drop-ins, print every mistake, and exit with 78 if there is one.
    CheckConfig,
    /// Make the certificate authority and this aggregator's certificate.
    ///
    /// The first aggregator makes the authority. The others join with a token of role aggregator.
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
    /// One-time passwords with which hosts get their certificates.
    Token {
        /// Which.
        #[command(subcommand)]
        verb: TokenVerb,
    },
    /// Certificates of the authority.
    Cert {
        /// Which.
        #[command(subcommand)]
        verb: CertVerb,
    },
    /// Look into the inbox: the frames that wait for a store. Works beside a running aggregator.
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

/// `token …`
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token and print it. It is stored only as a hash: this is the one time it is seen.
    Create {
        /// How long it may be used, e.g. 1h.
        #[arg(long, default_value = "1h", value_parser = parse_span, value_name = "SPAN")]
        ttl: Duration,
        /// How many certificates it may fetch.
        #[arg(long, default_value_t = 1, value_name = "N")]
        uses: u32,
        /// Only for host names that match this glob.
        #[arg(long, value_name = "GLOB")]
        host: Option<String>,
        /// What the certificate is for.
        #[arg(long, default_value = "agent")]
        role: RoleName,
    },
}

/// `cert …`
#[derive(Debug, Subcommand)]
pub enum CertVerb {
    /// Certificates that were issued.
    Ls {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Revoke the certificates of a name, at once and for live connections too.
    Revoke {
        /// Host name.
        name: String,
    },
}

/// `spool …`
#[derive(Debug, Subcommand)]
pub enum SpoolVerb {
    /// Segments, positions and cursors of each lane.
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
    /// Rewrite damaged segments, keep every good frame. The aggregator must be stopped.
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
    /// each time (musterctl --token-file). --host gives it a name.
    Admin,
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

fn parse_span(text: &str) -> Result<Duration, String> {
    muster_policy::document::parse_span(text)
}
