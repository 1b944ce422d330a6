//! The verbs of `muster-aggregator`.
//!
//! Room: `aggregator::commands`.  May use: everything of the aggregator.  Used by: `main`.

use std::path::Path;
use std::process::ExitCode;

use muster_program::listing::print_line;
use muster_program::runtime;

use crate::app::App;
use crate::cli::{Verb, Words};
use crate::config::Config;
use crate::fatal::Fatal;

mod authority;
mod ca;
mod manual;
mod spool;
mod token;

/// What a verb gives back: an exit code, or what ended it.
pub type Outcome = Result<ExitCode, Fatal>;

/// Does what the words say.
///
/// # Errors
/// [`Fatal`], which knows its exit code.
pub fn run(words: Words) -> Outcome {
    match words.verb {
        Verb::Run => run_aggregator(&words.config),
        Verb::CheckConfig => {
            Config::load(&words.config)?;
            print_line(format_args!("{}: ok", words.config.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Init { organisation, join, token } => {
            let config = load_as_owner(&words.config)?;
            match join.zip(token) {
                Some((aggregator, token)) => authority::join(&config, &aggregator, &token),
                None => authority::init(&config, &organisation),
            }
        }
        Verb::Token { verb } => token::run(&load_as_owner(&words.config)?, verb),
        Verb::Ca { verb } => ca::run(&load_as_owner(&words.config)?, verb),
        Verb::Cert { verb } => authority::cert(&load_as_owner(&words.config)?, verb),
        Verb::Spool { verb } => spool::run(&load_as_owner(&words.config)?, verb),
        Verb::Completions { shell } => manual::completions(shell),
        Verb::Man => manual::page(),
    }
}

/// The configuration; root becomes the user to whom the state belongs.
fn load_as_owner(path: &Path) -> Result<Config, Fatal> {
    let config = Config::load(path)?;
    muster_program::owner::become_owner_of(&config.state_dir)
        .map_err(|source| Fatal::System { what: "become the owner of the state", source })?;
    Ok(config)
}

/// Threads for searches and look-ups of names. tokio's own limit.
const BLOCKING_THREADS_MAX: usize = 512;

fn run_aggregator(config: &Path) -> Outcome {
    let config = Config::load(config)?;
    muster_program::journal::begin();
    let runtime = runtime::single(BLOCKING_THREADS_MAX)
        .map_err(|source| Fatal::System { what: "start the runtime", source })?;
    runtime.block_on(async { App::build(config).await?.run().await })?;
    Ok(ExitCode::SUCCESS)
}
