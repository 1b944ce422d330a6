//! How a run ends, and the exit code for it.
//!
//! 0 fine · 2 usage · 3 not found · 4 not authorised · 5 partial · 6 timeout · 69 unavailable · 70 our bug or no room for
//! the output ·
//! 77 permission on this machine · 78 config.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use muster_program::exit;

/// How a run that printed something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was asked for.
    Fine,
    /// Something is missing; stderr says what.
    Partial,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// A word on the command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The aggregator found a mistake in the question.
    #[error("{0}")]
    Question(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The aggregator does not let us.
    #[error("the aggregator refuses: {0}")]
    Unauthorised(String),
    /// The aggregator takes too long.
    #[error("no answer from {target} in time")]
    Timeout {
        /// Where.
        target: String,
    },
    /// The aggregator cannot be reached.
    #[error(
        "cannot reach the aggregator at {target}: {why}; is muster-aggregator running? use --url or --socket"
    )]
    Unreachable {
        /// Where.
        target: String,
        /// What the system says.
        why: String,
    },
    /// The aggregator is there but has no answer.
    #[error("the aggregator at {target} failed: {why}")]
    Failed {
        /// Where.
        target: String,
        /// What it says.
        why: String,
    },
    /// We may not use the socket or read a file.
    #[error("not permitted to use {}", path.display())]
    Permission {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The config file, the token file or the CA file is wrong.
    #[error("{}: {problem}", path.display())]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the line.
        problem: String,
    },
    /// Output cannot be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// Our bug, or an answer that makes no sense.
    #[error("cannot {what}")]
    Ours {
        /// What we were doing.
        what: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Fatal {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Fatal::Usage(_) | Fatal::Question(_) => exit::USAGE,
            Fatal::NotFound(_) => 3,
            Fatal::Unauthorised(_) => 4,
            Fatal::Timeout { .. } => 6,
            Fatal::Unreachable { .. } | Fatal::Failed { .. } => exit::UNAVAILABLE,
            Fatal::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Fatal::Output(_) | Fatal::Ours { .. } => exit::BUG,
            Fatal::Permission { .. } => exit::DENIED,
            Fatal::Config { .. } => exit::CONFIG,
        }
    }

    /// Whoever read our output has enough.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Fatal::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
