//! `muster-agent metrics`: every metric of this host, once.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use muster_program::listing::{print, print_json};

use super::{Outcome, config_if_any};
use crate::facts::clock::Clock;
use crate::host::Host;
use crate::metrics::{Scraper, Settings, exposition};

pub(super) fn show(config: &Path, json: bool) -> Outcome {
    let config = config_if_any(config)?;
    let mut scraper = Scraper::new(Host::at(&config.root), Settings::default());
    let clock = Clock::read(Instant::now());
    let out = scraper.scrape(clock.utc, clock.mono);
    let dict = out.dict.unwrap_or_default();
    if json {
        print_json(&rows(&dict, &out.scrape))?;
    } else {
        let mut text = String::new();
        exposition(&dict, &out.scrape, &mut text);
        print(text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(
    dict: &muster_proto::metric::Dict,
    scrape: &muster_proto::metric::Scrape,
) -> Vec<serde_json::Value> {
    let labels = |pairs: &[(String, String)]| -> serde_json::Map<String, serde_json::Value> {
        pairs.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
    };
    dict.series
        .iter()
        .zip(&scrape.values)
        .filter_map(|(series, value)| {
            let value = (*value)?;
            Some(serde_json::json!({
                "name": series.name,
                "type": series.kind,
                "labels": labels(&series.labels),
                "value": value,
                "at_ms": scrape.at.as_millis(),
            }))
        })
        .collect()
}
