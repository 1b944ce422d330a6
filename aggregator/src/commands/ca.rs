//! `ca show` and `ca rotate`: from one certificate authority to the next.

use std::process::ExitCode;
use std::time::Duration;

use muster_link::ca::{Ca, CaError, Stage};
use muster_link::crypto;
use muster_program::listing::{print_json, print_line};
use serde_json::json;

use super::{Outcome, authority};
use crate::app::utc_now;
use crate::cli::{CaVerb, RotateStep};
use crate::config::Config;
use crate::fatal::Fatal;

/// When a step that was cut off is finished, nobody says over which time hosts renew.
const SPREAD_DEFAULT: Duration = Duration::from_secs(3600);

pub(super) fn run(config: &Config, verb: CaVerb) -> Outcome {
    let mut ca = authority::open(config)?;
    ca.settle(SPREAD_DEFAULT, utc_now())?;
    match verb {
        CaVerb::Show { json } => show(&ca, json),
        CaVerb::Rotate { step, spread, force } => {
            let now = utc_now();
            let done = match step {
                RotateStep::Announce => ca.announce(spread, now),
                RotateStep::Switch => ca.switch(spread, now),
                RotateStep::Retire => ca.retire(force, now),
            };
            done.map_err(wrong_step)?;
            show(&ca, false)
        }
    }
}

/// What the operator can mend by another word is a wrong word.
fn wrong_step(error: CaError) -> Fatal {
    match error {
        CaError::Step { .. } => Fatal::Usage(error.to_string()),
        CaError::InUse { .. } => Fatal::Usage(format!(
            "{error}\nthey renew by themselves; --force retires it all the same, and they must enrol again"
        )),
        error => error.into(),
    }
}

fn show(ca: &Ca, json: bool) -> Outcome {
    let holders = ca.holders_of_old(utc_now())?;
    let print = |der: &[u8]| crypto::hex(&crypto::sha256(der));
    let (issuer, second) = (print(ca.certificate()), ca.second().map(print));
    if json {
        print_json(&json!({
            "stage": ca.stage().name(), "issuer_sha256": issuer, "second_sha256": second,
            "still_on_old": holders,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    print_line(format_args!("stage   {}", ca.stage().name()))?;
    print_line(format_args!("issues  sha256 {issuer}"))?;
    let next = match ca.stage() {
        Stage::Steady => "ca rotate announce, when the authority is to be replaced",
        Stage::Announced => {
            "ca rotate switch, when every aggregator has been up since the announcement"
        }
        Stage::Switched if holders.is_empty() => "ca rotate retire",
        Stage::Switched => "wait until all have renewed, then ca rotate retire",
    };
    if let Some(second) = second {
        let what = if ca.stage() == Stage::Announced { "next  " } else { "old   " };
        print_line(format_args!("{what}  sha256 {second}"))?;
    }
    for holder in &holders {
        print_line(format_args!("old     still the certificate of {holder}"))?;
    }
    print_line(format_args!("then    {next}"))?;
    Ok(ExitCode::SUCCESS)
}
