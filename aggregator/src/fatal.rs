//! What ends the program, and with which exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use muster_program::exit;
use muster_program::listing::PrintError;

use crate::config::ConfigError;
use crate::inbox::InboxError;
use crate::stores::StoreError;

/// What ends the program.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no certificate yet.
    #[error("this aggregator has no certificate in {dir}: run `muster-aggregator init`")]
    NoIdentity {
        /// Where it would lie.
        dir: PathBuf,
    },
    /// The certificate cannot be used.
    #[error("cannot use the certificate")]
    Identity(#[source] muster_link::IdentityError),
    /// The certificate is for another name.
    #[error("the certificate is for {certificate}, [aggregator] name says {configured}")]
    OtherName {
        /// Name in the certificate.
        certificate: String,
        /// Name in the configuration.
        configured: String,
    },
    /// The authority.
    #[error("the certificate authority refuses")]
    Authority(#[from] muster_link::ca::CaError),
    /// There is no authority here.
    #[error("there is no certificate authority in {dir}: run this on the aggregator that has it")]
    NoAuthority {
        /// Where it would lie.
        dir: PathBuf,
    },
    /// Joining did not succeed.
    #[error("cannot join")]
    Join(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The inbox.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// A store.
    #[error("cannot open a store")]
    Store(#[from] StoreError),
    /// A socket cannot be opened.
    #[error("cannot listen on {what}")]
    Listen {
        /// Which.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The link cannot be set up.
    #[error("cannot set up the link")]
    Link(#[source] muster_link::LinkError),
    /// The keys of the endpoint.
    #[error("cannot set up the endpoint")]
    Keys(#[from] muster_link::KeysError),
    /// The API's tokens.
    #[error(transparent)]
    Tokens(#[from] crate::tokens::TokensError),
    /// A word on the command line makes no sense here.
    #[error("{0}")]
    Usage(String),
    /// There is no inbox, or it cannot be known.
    #[error("there is no inbox to look into at {dir}")]
    NoSpool {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A spool directory cannot be looked into.
    #[error("cannot look into the inbox {dir}")]
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
            Fatal::Config(_) | Fatal::NoIdentity { .. } | Fatal::OtherName { .. } => exit::CONFIG,
            Fatal::Identity(_) | Fatal::NoAuthority { .. } => exit::CONFIG,
            Fatal::Print(PrintError(source)) | Fatal::System { source, .. } => {
                exit::of_system(source, exit::BUG)
            }
            Fatal::Usage(_) => exit::USAGE,
            error => exit::of_chain(error, exit::UNAVAILABLE),
        })
    }
}
