//! What ends the program, and with which exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use muster_program::exit;
use muster_program::listing::PrintError;

use crate::config::ConfigError;
use crate::lanes::LaneError;

/// What ends the program.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no certificate yet.
    #[error(
        "this host is not enrolled: {dir} has no certificate. Make a token with `muster-aggregator token create`, then run `muster-agent enroll --token … --aggregator …`"
    )]
    NotEnrolled {
        /// Where it would lie.
        dir: PathBuf,
    },
    /// The certificate cannot be used.
    #[error("cannot use the certificate")]
    Identity(#[source] muster_link::IdentityError),
    /// The certificate is for another host.
    #[error("the certificate is for {certificate}, [host] name says {configured}")]
    OtherName {
        /// Name in the certificate.
        certificate: String,
        /// Name in the configuration.
        configured: String,
    },
    /// A spool.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// A socket cannot be opened.
    #[error("cannot listen on {what}")]
    Listen {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The link cannot be set up.
    #[error("cannot set up the uplink")]
    Link(#[source] muster_link::LinkError),
    /// Log sources.
    #[error("cannot start the log reader")]
    Logs(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Enrolment did not succeed.
    #[error("enrolment failed")]
    Enrol(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A word on the command line makes no sense here.
    #[error("{0}")]
    Usage(String),
    /// No agent answers.
    #[error("no agent answers on {socket}: is muster-agent running?")]
    NoAgent {
        /// Its status socket.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no spool, or it cannot be known.
    #[error("there is no spool to look into at {dir}")]
    NoSpool {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A spool directory cannot be looked into.
    #[error("cannot look into the spool {dir}")]
    SpoolTool {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Standard output takes no more.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// The operating system does not give what every program gets.
    #[error("cannot {what}")]
    System {
        /// Do what.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl Fatal {
    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Fatal::Config(ConfigError::Read(unreadable)) => {
                exit::of_system(&unreadable.source, exit::CONFIG)
            }
            Fatal::Config(_) | Fatal::NotEnrolled { .. } | Fatal::OtherName { .. } => exit::CONFIG,
            Fatal::Identity(_) => exit::CONFIG,
            Fatal::Listen { source, .. } | Fatal::NoAgent { source, .. } => {
                exit::of_system(source, exit::UNAVAILABLE)
            }
            Fatal::Print(PrintError(source)) | Fatal::System { source, .. } => {
                exit::of_system(source, exit::BUG)
            }
            Fatal::Usage(_) => exit::USAGE,
            error => exit::of_chain(error, exit::UNAVAILABLE),
        })
    }
}
