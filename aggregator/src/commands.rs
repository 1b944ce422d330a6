//! The verbs of `muster-aggregator`.
//!
//! Room: `aggregator::commands`.  May use: everything of the aggregator.  Used by: `main`.

use std::path::Path;
use std::process::ExitCode;

use crate::app::App;
use crate::cli::{Verb, Words};
use crate::config::Config;
use crate::fatal::Fatal;

mod authority;
mod manual;
mod spool;

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
            println!("{}: ok", words.config.display());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Init { organisation, join, token } => {
            let config = Config::load(&words.config)?;
            match join.zip(token) {
                Some((aggregator, token)) => authority::join(&config, &aggregator, &token),
                None => authority::init(&config, &organisation),
            }
        }
        Verb::Token { verb } => authority::token(&Config::load(&words.config)?, verb),
        Verb::Cert { verb } => authority::cert(&Config::load(&words.config)?, verb),
        Verb::Spool { verb } => spool::run(&Config::load(&words.config)?, verb),
        Verb::Completions { shell } => manual::completions(shell),
        Verb::Man => manual::page(),
    }
}

fn run_aggregator(config: &Path) -> Outcome {
    let config = Config::load(config)?;
    crate::journal::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Fatal::System { what: "start the runtime", source })?;
    runtime.block_on(async { App::build(config).await?.run().await })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a JSON document.
fn print_json<T: serde::Serialize>(document: &T) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("muster-aggregator: {error}"),
    }
}

/// A table without frames: columns by two spaces, the way systemctl prints them.
fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header);
    table
}
