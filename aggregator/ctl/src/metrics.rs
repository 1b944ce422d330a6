//! `metrics`: last values, or ranges with a small curve.

use comfy_table::Cell;
use jiff::Zoned;
use serde_json::Value;

use crate::client::Client;
use crate::ending::{Ending, Fatal};
use crate::moment::parse_moment;
use crate::paper::{Paper, list, plain, text};
use crate::words::MetricsWords;

/// Columns of a curve.
const CURVE_COLUMNS: usize = 40;

pub(crate) async fn metrics(
    client: &Client,
    words: &MetricsWords,
    now: &Zoned,
    paper: &mut Paper<'_>,
) -> Result<Ending, Fatal> {
    let mut query = vec![("q", words.query.clone())];
    if let Some(since) = &words.since {
        query.push(("since", parse_moment(since, now)?.to_string()));
    }
    if let Some(until) = &words.until {
        query.push(("until", parse_moment(until, now)?.to_string()));
    }
    query.extend(words.step.clone().map(|step| ("step", step)));
    let answer = client.ask_json("/api/v1/metrics", &query).await?;
    let rows = list(&answer, "series");
    if paper.json {
        paper.print_array(rows)?;
    } else if words.since.is_some() {
        let cells = rows.iter().map(range_cells).collect();
        paper.print_table(
            &["HOST", "SERIES", "POINTS", "MIN", "MAX", "LAST", "CURVE"],
            cells,
            "no series matches",
        )?;
    } else {
        let cells = rows.iter().map(|row| {
            [text(row, "host"), name(row), text(row, "value"), paper.time(&row["time"])]
                .map(Cell::new)
                .to_vec()
        });
        let cells = cells.collect();
        paper.print_table(&["HOST", "SERIES", "VALUE", "TIME"], cells, "no series matches")?;
    }
    paper.ending(&answer)
}

fn range_cells(row: &Value) -> Vec<Cell> {
    let points: Vec<f64> =
        list(row, "points").iter().filter_map(|point| point[1].as_f64()).collect();
    let least = points.iter().copied().fold(f64::INFINITY, f64::min);
    let most = points.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let show = |value: Option<f64>| value.map_or("-".to_owned(), |value| value.to_string());
    let ends = if points.is_empty() { (None, None) } else { (Some(least), Some(most)) };
    vec![
        Cell::new(text(row, "host")),
        Cell::new(name(row)),
        Cell::new(list(row, "points").len()),
        Cell::new(show(ends.0)),
        Cell::new(show(ends.1)),
        Cell::new(show(points.last().copied())),
        Cell::new(curve(&points, least, most)),
    ]
}

/// The values as blocks of eight heights, at most [`CURVE_COLUMNS`], each the most of its share.
fn curve(points: &[f64], least: f64, most: f64) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let share = points.len().div_ceil(CURVE_COLUMNS).max(1);
    let peaks =
        points.chunks(share).map(|chunk| chunk.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let height =
        |value: f64| if most > least { (value - least) / (most - least) * 7.0 } else { 0.0 };
    peaks.map(|value| BLOCKS[height(value).round() as usize & 7]).collect()
}

/// `name{label="value"}`, without the host.
fn name(row: &Value) -> String {
    let labels = row["labels"].as_object();
    let labels: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(label, value)| format!("{}={value}", plain(label)))
        .collect();
    if labels.is_empty() {
        text(row, "name")
    } else {
        format!("{}{{{}}}", text(row, "name"), labels.join(","))
    }
}
