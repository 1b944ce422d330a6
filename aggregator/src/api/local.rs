//! What this aggregator alone answers.

use std::sync::PoisonError;
use std::time::Duration;

use muster_policy::selector::matches_glob;
use muster_proto::clock::Utc;
use muster_proto::state::CheckState;
use muster_proto::verdict::Verdict;

use super::ask::{FleetAsk, IncidentAsk, Question};
use super::fleet::Part;
use super::problem::Problem;
use super::rooms::{Rooms, Search};
use super::rows::{CheckRow, CountsRow, FleetPart, HostRow, Known, Stamp};
use super::trouble::incidents;
use crate::roster::{Host, Liveness};

/// Check rows of one answer.
pub(super) const CHECK_ROWS_MAX: usize = 200_000;
/// Text of the log lines of one answer, so that a peer's answer fits `ANSWER_BYTES_MAX`. Bytes.
const LOG_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Age of a value that is still on the Prometheus page.
const LOOKBACK: Duration = Duration::from_secs(300);

const _: () = assert!(LOG_BYTES_MAX * 2 <= muster_proto::limits::ANSWER_BYTES_MAX);

pub(super) fn answer(rooms: &Rooms, question: &Question, search: &Search) -> Result<Part, Problem> {
    Ok(match question {
        Question::Fleet(ask) => Part::Fleet(fleet(rooms, ask)),
        Question::Incidents(ask) => Part::Incidents(incidents(rooms, ask)),
        Question::Logs(ask) => Part::Logs(rooms.search_logs(ask, search, LOG_BYTES_MAX)?),
        Question::Series(ask) => Part::Series(rooms.telemetry.series(ask, search)?),
        Question::Federate(hosts, series) => {
            let mut rows = Vec::new();
            if !series.queries.is_empty() {
                rows = rooms.telemetry.series(series, search)?;
            }
            // As Prometheus does: a value of a host that is gone must not look like one of today.
            let oldest = Stamp((rooms.clock)().before(LOOKBACK));
            rows.retain(|row| row.time.is_some_and(|time| time >= oldest));
            Part::Federate(fleet(rooms, hosts), rows)
        }
    })
}

fn fleet(rooms: &Rooms, ask: &FleetAsk) -> FleetPart {
    let now = (rooms.clock)();
    let mut part = FleetPart {
        aggregator: rooms.name.clone(),
        datacenter: rooms.datacenter.clone(),
        version: rooms.version.clone(),
        started_at: Stamp(rooms.started_at),
        incidents: incidents(rooms, &IncidentAsk::default())
            .into_iter()
            .map(|row| row.scope)
            .collect(),
        ..FleetPart::default()
    };
    add_own(&mut part, ask, (rooms.own_checks)(), now);
    // A panic elsewhere while it was locked is a bug there; every roster method leaves it whole.
    let roster = rooms.roster.lock().unwrap_or_else(PoisonError::into_inner);
    match &ask.host {
        Some(name) => {
            roster.host(name).into_iter().for_each(|host| add(&mut part, ask, (name, host), now))
        }
        None => roster.hosts().for_each(|found| add(&mut part, ask, found, now)),
    }
    part
}

/// What the aggregator says of itself: problems always, rows as far as they are asked for.
fn add_own(part: &mut FleetPart, ask: &FleetAsk, own: Vec<CheckState>, now: Utc) {
    for check in own {
        let age = now.since(check.at);
        let stale = age.as_secs() > u64::from(check.valid_for_s);
        if check.verdict != Verdict::Ok {
            let what = [check.id.as_str(), &check.instance].join(" ");
            part.problems.push(format!("{}: {}", what.trim_end(), check.message));
        } else if stale {
            part.problems.push(format!("{} was not looked at for {} s", check.id, age.as_secs()));
        }
        let is_other_host = ask.host.as_ref().is_some_and(|host| *host != part.aggregator);
        if is_wanted(ask, &check) && !is_other_host {
            let place = (part.aggregator.as_str(), part.datacenter.as_str());
            let row = check_row(place, &check, stale);
            part.own_checks.push(row);
        }
    }
}

fn add(part: &mut FleetPart, ask: &FleetAsk, (name, host): (&str, &Host), now: Utc) {
    part.hosts.push(host_row(name, host, now));
    if !ask.checks {
        return;
    }
    let (_, seq, at) = host.as_of();
    let mut known =
        Known { host: name.to_owned(), at, seq, complete: host.is_complete(), spoken: Vec::new() };
    for (_, check) in host.checks() {
        if !known.complete {
            known.spoken.push((check.id.clone(), check.instance.clone()));
        }
        if !is_wanted(ask, check) {
            continue;
        }
        if part.checks.len() >= CHECK_ROWS_MAX {
            part.truncated = true;
            break;
        }
        let mut row = check_row((name, host.datacenter()), check, host.is_stale(check, now));
        if ask.evidence {
            row.evidence.clone_from(&check.evidence);
        }
        part.checks.push(row);
    }
    if !known.complete {
        known.spoken.extend(
            host.gone_checks().into_iter().map(|key| (key.id.clone(), key.instance.clone())),
        );
    }
    part.known.push(known);
}

fn is_wanted(ask: &FleetAsk, check: &CheckState) -> bool {
    (ask.verdicts.is_empty() || ask.verdicts.contains(&check.verdict))
        && ask.id.as_ref().is_none_or(|id| matches_glob(id, &check.id))
}

fn host_row(name: &str, host: &Host, now: Utc) -> HostRow {
    let facts = host.facts().cloned().unwrap_or_default();
    let counts = host.counts(now);
    let worst = host.worst();
    HostRow {
        host: name.to_owned(),
        datacenter: if host.datacenter().is_empty() {
            facts.datacenter
        } else {
            host.datacenter().to_owned()
        },
        role: facts.role,
        state: host.liveness().name().to_owned(),
        aggregator: host.aggregator().to_owned(),
        last_seen: Stamp(host.last_seen()),
        worst_check: worst.map_or(String::new(), |check| check.verdict.name().to_owned()),
        agent_version: facts.agent_version,
        reason: match host.liveness() {
            Liveness::Departed { reason } => reason.clone(),
            Liveness::Live | Liveness::Late | Liveness::Lost => String::new(),
        },
        worst_check_id: worst
            .filter(|check| check.verdict != Verdict::Ok)
            .map_or(String::new(), |check| check.id.clone()),
        tags: facts.tags,
        checks: CountsRow {
            ok: counts.ok.into(),
            warn: counts.warn.into(),
            crit: counts.crit.into(),
            unknown: counts.unknown.into(),
            stale: counts.stale.into(),
        },
        os: facts.os,
        kernel: facts.kernel,
        machine: facts.machine,
        cpus: facts.cpus,
        memory_bytes: facts.memory_bytes,
        booted_at: (facts.booted_at != Utc::default()).then_some(Stamp(facts.booted_at)),
        first_seen: Stamp(host.first_seen()),
        lost_records: host.lost_records(),
        backlog: host.heartbeat().map(|beat| beat.backlog.clone()).unwrap_or_default(),
    }
}

fn check_row((name, datacenter): (&str, &str), check: &CheckState, stale: bool) -> CheckRow {
    CheckRow {
        host: name.to_owned(),
        id: check.id.clone(),
        instance: check.instance.clone(),
        verdict: check.verdict,
        stale,
        urgency: check.urgency,
        since: Stamp(check.since),
        message: check.message.clone(),
        runbook: check.runbook.clone(),
        owner: check.owner.clone(),
        at: Stamp(check.at),
        datacenter: datacenter.to_owned(),
        evidence: String::new(),
    }
}
