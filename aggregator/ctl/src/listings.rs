//! `status`, `hosts`, `host`, `checks`.

use comfy_table::Cell;
use serde_json::Value;

use crate::client::{Client, encode_part};
use crate::ending::{Ending, Fatal};
use crate::paper::{Paper, list, plain, text};
use crate::words::ChecksWords;
use muster_policy::selector::parse_selector;

pub(crate) async fn status(client: &Client, paper: &mut Paper<'_>) -> Result<Ending, Fatal> {
    let answer = client.ask_json("/api/v1/status", &[]).await?;
    if paper.json {
        writeln!(paper.out, "{answer}")?;
        return paper.ending(&answer);
    }
    let (hosts, checks) = (&answer["hosts"], &answer["checks"]);
    let counts = |row: &Value, words: &[&str]| {
        let counts: Vec<String> =
            words.iter().map(|word| format!("{} {word}", row[word])).collect();
        counts.join(", ")
    };
    writeln!(
        paper.out,
        "hosts   {} known: {}",
        hosts["total"],
        counts(hosts, &["live", "late", "lost", "departed"])
    )?;
    writeln!(paper.out, "checks  {}", counts(checks, &["ok", "warn", "crit", "unknown", "stale"]))?;
    if let Some(open @ 1..) = answer["incidents"].as_u64() {
        writeln!(paper.out, "incidents  {open} open: see musterctl incidents")?;
    }
    writeln!(paper.out)?;
    let rows = list(&answer, "datacenters").iter().map(|row| {
        ["datacenter", "live", "late", "lost", "departed"]
            .map(|field| Cell::new(text(row, field)))
            .to_vec()
    });
    paper.print_table(
        &["DATACENTER", "LIVE", "LATE", "LOST", "DEPARTED"],
        rows.collect(),
        "no hosts yet",
    )?;
    writeln!(paper.out)?;
    let rows = list(&answer, "aggregators").iter().map(|row| {
        let mut cells = ["aggregator", "datacenter", "version", "hosts"]
            .map(|field| Cell::new(text(row, field)))
            .to_vec();
        cells.push(Cell::new(paper.time(&row["started_at"])));
        cells
    });
    let rows = rows.collect();
    paper.print_table(
        &["AGGREGATOR", "DATACENTER", "VERSION", "HOSTS", "STARTED"],
        rows,
        "no aggregators",
    )?;
    for row in list(&answer, "aggregators") {
        for problem in list(row, "problems") {
            let (name, problem) = (text(row, "aggregator"), problem.as_str().unwrap_or_default());
            writeln!(paper.out, "{name} {}", plain(problem))?;
        }
    }
    paper.ending(&answer)
}

pub(crate) async fn hosts(
    client: &Client,
    selector: &[String],
    paper: &mut Paper<'_>,
) -> Result<Ending, Fatal> {
    let answer =
        client.ask_json("/api/v1/hosts", &[("selector", selector_text(selector)?)]).await?;
    let rows = list(&answer, "hosts");
    if paper.json {
        paper.print_array(rows)?;
    } else {
        let head =
            ["HOST", "STATE", "WORST", "DATACENTER", "ROLE", "AGGREGATOR", "LAST SEEN", "AGENT"];
        let cells = rows.iter().map(|row| {
            vec![
                Cell::new(text(row, "host")),
                paper.state(&text(row, "state")),
                paper.state(&text(row, "worst_check")),
                Cell::new(text(row, "datacenter")),
                Cell::new(text(row, "role")),
                Cell::new(text(row, "aggregator")),
                Cell::new(paper.time(&row["last_seen"])),
                Cell::new(text(row, "agent_version")),
            ]
        });
        let cells = cells.collect();
        paper.print_table(&head, cells, "no host matches")?;
    }
    paper.ending(&answer)
}

pub(crate) async fn host(
    client: &Client,
    name: &str,
    paper: &mut Paper<'_>,
) -> Result<Ending, Fatal> {
    let answer = client.ask_json(&format!("/api/v1/hosts/{}", encode_part(name)), &[]).await?;
    if paper.json {
        writeln!(paper.out, "{answer}")?;
        return paper.ending(&answer);
    }
    let row = &answer["host"];
    let state = [text(row, "state"), text(row, "reason")].join(" ");
    let tags: Vec<&str> = list(row, "tags").iter().filter_map(Value::as_str).collect();
    let machine = match row["cpus"].as_u64().unwrap_or(0) {
        0 => String::new(),
        cpus => {
            let memory = row["memory_bytes"].as_u64().unwrap_or(0) >> 20;
            format!("{}, {cpus} CPUs, {memory} MiB", text(row, "machine"))
        }
    };
    let system = [text(row, "os"), text(row, "kernel")].join(" ");
    let lines = [
        ("host", text(row, "host")),
        ("state", state),
        ("datacenter", text(row, "datacenter")),
        ("role", text(row, "role")),
        ("tags", plain(&tags.join(" "))),
        ("aggregator", text(row, "aggregator")),
        ("last seen", paper.time(&row["last_seen"])),
        ("system", system),
        ("machine", machine),
        ("booted", paper.time(&row["booted_at"])),
        ("agent", text(row, "agent_version")),
        ("lost records", text(row, "lost_records")),
    ];
    for (word, value) in lines.iter().filter(|(_, value)| !value.trim().is_empty()) {
        writeln!(paper.out, "{word:<13} {}", value.trim_end())?;
    }
    writeln!(paper.out)?;
    print_checks(list(&answer, "checks"), false, paper)?;
    for check in list(&answer, "checks").iter().filter(|check| check["evidence"].is_string()) {
        writeln!(paper.out, "\n{} {} evidence:", text(check, "id"), text(check, "instance"))?;
        for line in check["evidence"].as_str().unwrap_or_default().lines() {
            writeln!(paper.out, "    {}", plain(line))?;
        }
    }
    paper.ending(&answer)
}

pub(crate) async fn checks(
    client: &Client,
    words: &ChecksWords,
    paper: &mut Paper<'_>,
) -> Result<Ending, Fatal> {
    let mut query = vec![("selector", selector_text(&words.selector)?)];
    query.extend(words.state.clone().map(|state| ("state", state)));
    query.extend(words.id.clone().map(|id| ("id", id)));
    let answer = client.ask_json("/api/v1/checks", &query).await?;
    let rows = list(&answer, "checks");
    if paper.json {
        paper.print_array(rows)?;
    } else {
        print_checks(rows, true, paper)?;
    }
    paper.ending(&answer)
}

/// The worst first, then by host and id.
fn print_checks(rows: &[Value], with_host: bool, paper: &mut Paper<'_>) -> Result<(), Fatal> {
    let mut rows: Vec<&Value> = rows.iter().collect();
    rows.sort_by_key(|row| match row["verdict"].as_str() {
        Some("crit") => 0,
        Some("warn") => 1,
        Some("unknown") => 2,
        _ => 3,
    });
    let cells = rows.iter().map(|row| {
        let mut cells = vec![paper.state(&text(row, "verdict"))];
        if with_host {
            cells.push(Cell::new(text(row, "host")));
        }
        let stale = if row["stale"] == Value::Bool(true) { "stale " } else { "" };
        cells.extend([
            Cell::new([text(row, "id"), text(row, "instance")].join(" ").trim_end()),
            Cell::new(text(row, "urgency")),
            Cell::new(paper.time(&row["since"])),
            Cell::new(format!("{stale}{}", text(row, "message").replace('\t', " "))),
        ]);
        cells
    });
    let cells: Vec<_> = cells.collect();
    let head: &[&str] = if with_host {
        &["VERDICT", "HOST", "CHECK", "URGENCY", "SINCE", "MESSAGE"]
    } else {
        &["VERDICT", "CHECK", "URGENCY", "SINCE", "MESSAGE"]
    };
    paper.print_table(head, cells, "no check matches")
}

/// The words of a selector as one text, checked here so that a mistake is found without an aggregator.
fn selector_text(words: &[String]) -> Result<String, Fatal> {
    let text = words.join(" ");
    match parse_selector(&text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let mark = " ".repeat(error.column.saturating_sub(1));
            Err(Fatal::Usage(format!("in the selector, {error}\n  {text}\n  {mark}^")))
        }
    }
}
