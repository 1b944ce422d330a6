//! The verbs of `muster-agent`, one file each.
//!
//! Room: `agent::commands`.  May use: everything of the agent.  Used by: `main`.

use std::path::Path;
use std::process::ExitCode;

use muster_program::listing::print_line;
use muster_program::runtime;

use crate::app::App;
use crate::cli::{Verb, Words};
use crate::config::Config;
use crate::fatal::Fatal;

mod check_page;
mod checks;
mod enroll;
mod manual;
mod metrics;
mod spool;
mod status;

/// What a verb gives back: an exit code, or what ended it.
pub type Outcome = Result<ExitCode, Fatal>;

/// Does what the words say.
///
/// # Errors
/// [`Fatal`], which knows its exit code.
pub fn run(words: Words) -> Outcome {
    match words.verb {
        Verb::Run => run_agent(&words.config),
        Verb::CheckConfig => check_config(&words.config),
        Verb::Status { json } => status::show(&Config::load(&words.config)?, json),
        Verb::Checks { verb } => checks::run(&words.config, verb),
        Verb::Metrics { json } => metrics::show(&words.config, json),
        Verb::Enroll { token, aggregator, name } => {
            enroll::run(&load_as_owner(&words.config)?, &token, &aggregator, name)
        }
        Verb::Spool { verb } => spool::run(&load_as_owner(&words.config)?, verb),
        Verb::Completions { shell } => manual::completions(shell),
        Verb::Man { checks } => manual::page(checks),
    }
}

fn run_agent(config: &Path) -> Outcome {
    let config = Config::load(config)?;
    muster_program::journal::begin();
    let runtime = runtime::single(BLOCKING_THREADS_MAX)
        .map_err(|source| Fatal::System { what: "start the runtime", source })?;
    runtime.block_on(async { App::build(config).await?.run().await })?;
    Ok(ExitCode::SUCCESS)
}

/// Threads for reads from the spool and look-ups of names. Threads.
const BLOCKING_THREADS_MAX: usize = 4;

fn check_config(path: &Path) -> Outcome {
    let config = Config::load(path)?;
    print_line(format_args!("{}: ok", path.display()))?;
    if config.uplink.datacenters.is_empty() {
        print_line("note: no [[uplink.datacenter]]: records stay in the spool")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration; root becomes the user to whom the state belongs.
fn load_as_owner(path: &Path) -> Result<Config, Fatal> {
    let config = Config::load(path)?;
    muster_program::owner::become_owner_of(&config.state_dir)
        .map_err(|source| Fatal::System { what: "become the owner of the state", source })?;
    Ok(config)
}

/// The configuration when there is one; some verbs work without.
fn config_if_any(path: &Path) -> Result<Config, Fatal> {
    if path.exists() {
        return Ok(Config::load(path)?);
    }
    Config::settle(&[]).map_err(|wrong| Fatal::Config(crate::config::ConfigError::Wrong(wrong)))
}
