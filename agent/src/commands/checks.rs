//! `muster-agent checks list|run`: the catalogue, and the verdicts of this moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use muster_program::listing::{print_json, print_line, table};
use muster_proto::verdict::Verdict;
use serde_json::json;

use super::{Outcome, config_if_any};
use crate::app::check_settings;
use crate::checks::{Finding, Settings, catalogue, find, run_once};
use crate::cli::ChecksVerb;
use crate::fatal::Fatal;
use crate::host::Host;

pub(super) fn run(config: &Path, verb: ChecksVerb) -> Outcome {
    let config = config_if_any(config)?;
    if let ChecksVerb::Run { id: Some(id), .. } = &verb
        && find(id).is_none()
    {
        let what = format!("there is no check {id}: see `muster-agent checks list`");
        return Err(Fatal::Usage(what));
    }
    let settings = check_settings(&config);
    let findings = run_once(&Host::at(&config.root), &settings);
    match verb {
        ChecksVerb::List { json } => list(&findings, json),
        ChecksVerb::Run { id, json } => {
            let wanted = |finding: &Finding| id.as_ref().is_none_or(|id| finding.id == id);
            verdicts(findings.into_iter().filter(wanted).collect(), &settings, json)
        }
    }
}

fn list(findings: &[Finding], json: bool) -> Outcome {
    let mut here: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        *here.entry(finding.id).or_default() += 1;
    }
    if json {
        let rows: Vec<_> = catalogue()
            .iter()
            .map(|entry| {
                json!({
                    "id": entry.id, "summary": entry.summary, "manual": entry.manual,
                    "runbook": entry.runbook, "urgency": entry.urgency,
                    "instances": here.get(entry.id).copied().unwrap_or(0),
                })
            })
            .collect();
        print_json(&rows)?;
    } else {
        let mut rows = table(&["check", "here", "urgency", "what it watches"]);
        for entry in catalogue() {
            let count = here.get(entry.id).map_or_else(|| "-".to_owned(), usize::to_string);
            rows.add_row([entry.id, &count, entry.urgency.name(), entry.summary]);
        }
        print_line(rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verdicts(mut findings: Vec<Finding>, settings: &Settings, json: bool) -> Outcome {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict.badness()));
    if json {
        let row = |finding: &Finding| {
            let about = find(finding.id)?.about();
            let instance = finding.instance.as_str();
            Some(json!({
                "id": finding.id, "instance": instance, "verdict": finding.verdict,
                "message": finding.message, "evidence": finding.evidence,
                "urgency": settings.urgency(about, instance), "runbook": settings.runbook(about, instance),
            }))
        };
        print_json(&findings.iter().filter_map(row).collect::<Vec<_>>())?;
    } else {
        let mut rows = table(&["verdict", "check", "instance", "message"]);
        for finding in &findings {
            rows.add_row([finding.verdict.name(), finding.id, &finding.instance, &finding.message]);
        }
        print_line(rows)?;
    }
    let good = findings.iter().all(|finding| finding.verdict == Verdict::Ok);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
