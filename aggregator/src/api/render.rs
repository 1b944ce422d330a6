//! Merged parts in, the bytes of an answer out. Pure.

use muster_policy::selector::{Selector, Subject};
use serde::Serialize;
use serde_json::{Value, json};

use super::Answer;
use super::ask::{Page, Question};
use super::exposition::write_page;
use super::fleet::{Fleet, Gathered, Part, merge_fleet, merge_logs, merge_series};
use super::local::CHECK_ROWS_MAX;
use super::moment::to_rfc3339;
use super::problem::Problem;
use super::rows::{CheckRow, CountsRow, HostRow, LogRow, LogsPart, SeriesRow};
use super::trouble::{IncidentRow, merge_incidents, overlay};

/// Makes the answer to a page of all parts.
pub(super) fn render(
    page: &Page,
    question: &Question,
    gathered: Gathered,
) -> Result<Answer, Problem> {
    let (unanswered, common) = (gathered.unanswered, gathered.common);
    let (mut fleets, mut logs, mut series) = (Vec::new(), Vec::new(), Vec::new());
    let mut incidents = Vec::new();
    for part in gathered.parts {
        match part {
            Part::Fleet(part) => fleets.push(part),
            Part::Logs(part) => logs.push(part),
            Part::Incidents(rows) => incidents.push(rows),
            Part::Series(rows) => series.push(rows),
            Part::Federate(part, rows) => {
                fleets.push(part);
                series.push(rows);
            }
        }
    }
    let merge_fleet = |parts| {
        let mut fleet = merge_fleet(parts);
        overlay(&mut fleet, common);
        fleet
    };
    match (page, question) {
        (Page::Incidents, _) => {
            json_answer(&IncidentList { incidents: merge_incidents(incidents), unanswered })
        }
        (Page::Status, _) => json_answer(&status(&merge_fleet(fleets), &unanswered)),
        (Page::Hosts(selector), _) => {
            json_answer(&hosts(merge_fleet(fleets), selector, unanswered))
        }
        (Page::Host(name), _) => json_answer(&host(merge_fleet(fleets), name, unanswered)?),
        (Page::Checks(selector), _) => {
            json_answer(&checks(merge_fleet(fleets), selector, unanswered))
        }
        (Page::Logs, Question::Logs(ask)) => ndjson_answer(&merge_logs(logs, ask), &unanswered),
        (Page::Metrics, _) => json_answer(&SeriesList { series: merge_series(series), unanswered }),
        (Page::Federate, _) => {
            write_page(&merge_fleet(fleets), &merge_series(series), &unanswered).map(text)
        }
        (Page::Logs | Page::Own, _) => Err(Problem::ours("the page and its question do not fit")),
    }
}

/// A page in the Prometheus text format.
pub(super) fn text(page: String) -> Answer {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Answer { status: 200, content_type, body: page.into_bytes() }
}

fn json_answer(value: &impl Serialize) -> Result<Answer, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::ours(error.to_string()))?;
    Ok(Answer { status: 200, content_type: "application/json", body })
}

fn is_selected(selector: &Selector, row: &HostRow) -> bool {
    selector.matches(&Subject {
        host: &row.host,
        datacenter: &row.datacenter,
        role: &row.role,
        tags: &row.tags,
        state: &row.state,
        aggregator: &row.aggregator,
        os: &row.os,
        kernel: &row.kernel,
        agent_version: &row.agent_version,
    })
}

fn status(fleet: &Fleet, unanswered: &[String]) -> Value {
    let count = |state: &str| fleet.hosts.values().filter(|host| host.state == state).count();
    let mut checks = CountsRow::default();
    for host in fleet.hosts.values() {
        checks.ok += host.checks.ok;
        checks.warn += host.checks.warn;
        checks.crit += host.checks.crit;
        checks.unknown += host.checks.unknown;
        checks.stale += host.checks.stale;
    }
    let mut datacenters: std::collections::BTreeMap<&str, [usize; 4]> =
        std::collections::BTreeMap::new();
    for host in fleet.hosts.values() {
        let counts = datacenters.entry(&host.datacenter).or_default();
        let place =
            ["live", "late", "lost", "departed"].iter().position(|state| *state == host.state);
        counts[place.unwrap_or(0)] += 1;
    }
    let datacenters: Vec<Value> = datacenters
        .into_iter()
        .map(|(name, [live, late, lost, departed])| {
            json!({"datacenter": name, "live": live, "late": late, "lost": lost, "departed": departed})
        })
        .collect();
    let aggregators: Vec<Value> = fleet
        .aggregators
        .iter()
        .map(|part| {
            let hosts = fleet.hosts.values().filter(|host| host.aggregator == part.aggregator).count();
            json!({
                "aggregator": part.aggregator, "datacenter": part.datacenter, "version": part.version,
                "started_at": part.started_at, "hosts": hosts, "problems": part.problems,
            })
        })
        .collect();
    for check in fleet.checks.iter().filter(|check| fleet.is_aggregator(&check.host)) {
        checks.add(check);
    }
    let incidents: std::collections::BTreeSet<&String> =
        fleet.aggregators.iter().flat_map(|part| &part.incidents).collect();
    json!({
        "incidents": incidents.len(),
        "hosts": {
            "total": fleet.hosts.len(), "live": count("live"), "late": count("late"),
            "lost": count("lost"), "departed": count("departed"),
        },
        "checks": checks,
        "datacenters": datacenters,
        "aggregators": aggregators,
        "unanswered": unanswered,
    })
}

#[derive(Serialize)]
struct HostList {
    hosts: Vec<HostRow>,
    unanswered: Vec<String>,
}

#[derive(Serialize)]
struct IncidentList {
    incidents: Vec<IncidentRow>,
    unanswered: Vec<String>,
}

#[derive(Serialize)]
struct HostPage {
    host: HostRow,
    checks: Vec<CheckRow>,
    unanswered: Vec<String>,
}

#[derive(Serialize)]
struct CheckList {
    checks: Vec<CheckRow>,
    unanswered: Vec<String>,
    truncated: bool,
}

#[derive(Serialize)]
struct SeriesList {
    series: Vec<SeriesRow>,
    unanswered: Vec<String>,
}

fn hosts(fleet: Fleet, selector: &Selector, unanswered: Vec<String>) -> HostList {
    let hosts = fleet.hosts.into_values().filter(|row| is_selected(selector, row)).collect();
    HostList { hosts, unanswered }
}

fn host(mut fleet: Fleet, name: &str, unanswered: Vec<String>) -> Result<HostPage, Problem> {
    let Some(host) = fleet.hosts.remove(name) else {
        if fleet.is_aggregator(name) {
            let detail =
                format!("{name} is an aggregator without an agent: musterctl checks {name}");
            return Err(Problem::not_found(detail));
        }
        let silent = if unanswered.is_empty() {
            String::new()
        } else {
            format!("; {} did not answer and may know it", unanswered.join(", "))
        };
        return Err(Problem::not_found(format!("no aggregator knows the host {name}{silent}")));
    };
    Ok(HostPage { host, checks: fleet.checks, unanswered })
}

fn checks(mut fleet: Fleet, selector: &Selector, unanswered: Vec<String>) -> CheckList {
    if !selector.is_everything() {
        let chosen = |row: &CheckRow| match fleet.hosts.get(&row.host) {
            Some(host) => is_selected(selector, host),
            None => selector.matches(&Subject {
                host: &row.host,
                datacenter: &row.datacenter,
                role: "",
                tags: &[],
                state: "live",
                aggregator: &row.host,
                os: "",
                kernel: "",
                agent_version: "",
            }),
        };
        let rows = std::mem::take(&mut fleet.checks).into_iter();
        fleet.checks = rows.filter(chosen).collect();
    }
    let truncated = fleet.truncated || fleet.checks.len() > CHECK_ROWS_MAX;
    fleet.checks.truncate(CHECK_ROWS_MAX);
    CheckList { checks: fleet.checks, unanswered, truncated }
}

/// One log line. `message` is text: bytes that are no UTF-8 are shown as U+FFFD, and then `message_base64` has
/// the exact bytes (RFC 4648 §4, with padding). Without `message_base64`, `message` is exact.
#[derive(Serialize)]
struct LogLine<'a> {
    time: String,
    host: &'a str,
    datacenter: &'a str,
    class: &'a str,
    source: &'a str,
    program: &'a str,
    severity: &'static str,
    message: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_base64: Option<String>,
    stream: String,
    seq: u64,
    index: u32,
}

impl<'a> LogLine<'a> {
    fn new(row: &'a LogRow) -> LogLine<'a> {
        let message = String::from_utf8_lossy(&row.text);
        let is_exact = matches!(message, std::borrow::Cow::Borrowed(_));
        LogLine {
            time: to_rfc3339(row.at),
            host: &row.host,
            datacenter: &row.datacenter,
            class: &row.class,
            source: &row.source,
            program: &row.program,
            severity: row.severity.name(),
            message,
            message_base64: (!is_exact).then(|| encode_base64(&row.text)),
            stream: row.stream.to_string(),
            seq: row.seq.0,
            index: row.index,
        }
    }
}

fn ndjson_answer(part: &LogsPart, unanswered: &[String]) -> Result<Answer, Problem> {
    let ours = |error: serde_json::Error| Problem::ours(error.to_string());
    let mut body = Vec::with_capacity(part.lines.len() * 256);
    for row in &part.lines {
        serde_json::to_writer(&mut body, &LogLine::new(row)).map_err(ours)?;
        body.push(b'\n');
    }
    let end = json!({"end": {
        "unanswered": unanswered, "truncated": part.truncated, "limited": part.limited,
        "scanned_bytes": part.scanned_bytes, "lines": part.lines.len(),
    }});
    serde_json::to_writer(&mut body, &end).map_err(ours)?;
    body.push(b'\n');
    Ok(Answer { status: 200, content_type: "application/x-ndjson", body })
}

/// RFC 4648 §4, with padding.
pub(super) fn encode_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
