//! `incidents`: what is wrong with the fleet, once for each cause.

use comfy_table::Cell;
use serde_json::Value;

use crate::client::Client;
use crate::ending::{Ending, Fatal};
use crate::paper::{Paper, list, plain, text};
use crate::words::IncidentsWords;

/// Names of hosts that are shown of one incident; `--json` has more.
const NAMES_SHOWN: usize = 10;

pub(crate) async fn incidents(
    client: &Client,
    words: &IncidentsWords,
    paper: &mut Paper<'_>,
) -> Result<Ending, Fatal> {
    let query = if words.all { vec![("all", "true".to_owned())] } else { Vec::new() };
    let answer = client.ask_json("/api/v1/incidents", &query).await?;
    let rows = list(&answer, "incidents");
    if paper.json {
        paper.print_array(rows)?;
        return paper.ending(&answer);
    }
    let cells = rows.iter().map(|row| {
        vec![
            Cell::new(text(row, "id")),
            paper.state(&text(row, "kind")),
            Cell::new(text(row, "scope")),
            Cell::new(text(row, "urgency")),
            Cell::new(paper.time(&row["since"])),
            Cell::new(if row["until"].is_null() { "-".into() } else { paper.time(&row["until"]) }),
            Cell::new(text(row, "hosts")),
            Cell::new(text(row, "exceptions")),
        ]
    });
    let head = ["ID", "KIND", "SCOPE", "URGENCY", "SINCE", "UNTIL", "HOSTS", "REACHABLE"];
    let cells = cells.collect();
    paper.print_table(&head, cells, "no incidents")?;
    for row in rows {
        details(row, paper)?;
    }
    paper.ending(&answer)
}

/// What it is, who is in it, and how that is known.
fn details(row: &Value, paper: &mut Paper<'_>) -> Result<(), Fatal> {
    writeln!(paper.out, "\n{} {}", text(row, "id"), text(row, "verdict"))?;
    let lines = [
        ("part of", text(row, "part_of")),
        ("hosts", names(row, "host_names", "hosts")),
        ("reachable", names(row, "exception_names", "exceptions")),
        ("seen by", names(row, "seen_by", "")),
    ];
    for (word, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(paper.out, "    {word:<9}  {value}")?;
    }
    for view in list(row, "other_views") {
        let part = |place: usize| plain(view[place].as_str().unwrap_or_default());
        writeln!(paper.out, "    but {} says: {}", part(0), part(1))?;
    }
    for line in list(row, "evidence") {
        writeln!(paper.out, "    evidence   {}", plain(line.as_str().unwrap_or_default()))?;
    }
    Ok(())
}

/// The first names of a list and how many more there are; `count` names the field with their number.
fn names(row: &Value, field: &str, count: &str) -> String {
    let all = list(row, field);
    let shown: Vec<String> =
        all.iter().take(NAMES_SHOWN).map(|name| plain(name.as_str().unwrap_or_default())).collect();
    let total = row[count].as_u64().unwrap_or(all.len() as u64);
    let more = total.saturating_sub(shown.len() as u64);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{tail}", shown.join(" "))
}
