//! `logs`: asks once and prints the lines in the order of time.

use jiff::{Timestamp, Zoned};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::client::Client;
use crate::ending::{Ending, Fatal};
use crate::moment::{parse_moment, show, show_ms};
use crate::paper::{Paper, plain};
use crate::words::LogsWords;

/// Lines when nobody says.
const LIMIT_DEFAULT: usize = 1_000;
/// From when on when nobody says.
const SINCE_DEFAULT: &str = "1h";

/// A line as far as tables and `-f` need it. The raw text stands beside it.
#[derive(Debug, Deserialize)]
pub(crate) struct Line<'a> {
    #[serde(deserialize_with = "read_time")]
    pub(crate) time: Timestamp,
    pub(crate) host: String,
    #[serde(default)]
    program: String,
    #[serde(default)]
    source: String,
    severity: String,
    message: String,
    pub(crate) stream: String,
    pub(crate) seq: u64,
    pub(crate) index: u32,
    #[serde(skip)]
    raw: &'a str,
}

/// A log answer.
pub(crate) struct Lines<'a> {
    /// In the order of the answer.
    pub(crate) lines: Vec<Line<'a>>,
    /// What the last line says.
    pub(crate) end: Value,
}

pub(crate) async fn logs(
    client: &Client,
    words: &LogsWords,
    now: &Zoned,
    paper: &mut Paper<'_>,
) -> Result<Ending, Fatal> {
    let limit = words.limit.unwrap_or(LIMIT_DEFAULT);
    let mut query = filters(words, now)?;
    query.push(("limit", limit.to_string()));
    query.push(("since", since(words, now)?.to_string()));
    let body = client.ask("/api/v1/logs", &query).await?;
    let answer = parse_lines(&body)?;
    for line in answer.lines.iter().rev() {
        print_line(line, paper)?;
    }
    if answer.lines.is_empty() {
        writeln!(
            paper.err,
            "musterctl: no line matches since {}",
            show(since(words, now)?, &paper.zone)
        )?;
    }
    if answer.end["limited"] == Value::Bool(true) && words.limit.is_none() {
        writeln!(paper.err, "musterctl: only the latest {limit} lines; use --limit for more")?;
    }
    paper.ending(&answer.end)
}

/// From when on; before `--until`, if that is said.
pub(crate) fn since(words: &LogsWords, now: &Zoned) -> Result<Timestamp, Fatal> {
    let since = parse_moment(words.since.as_deref().unwrap_or(SINCE_DEFAULT), now)?;
    match words.until.as_deref().map(|until| parse_moment(until, now)).transpose()? {
        Some(until) if until <= since => Err(Fatal::Usage(format!(
            "--until {} is not after --since {}",
            show(until, now.time_zone()),
            show(since, now.time_zone())
        ))),
        _ => Ok(since),
    }
}

/// The query but for `since`, `limit` and `order`.
pub(crate) fn filters(
    words: &LogsWords,
    now: &Zoned,
) -> Result<Vec<(&'static str, String)>, Fatal> {
    let mut query = Vec::new();
    let texts = [
        ("q", &words.query),
        ("host", &words.host),
        ("class", &words.class),
        ("severity", &words.severity),
        ("datacenter", &words.datacenter),
        ("program", &words.program),
        ("source", &words.source),
    ];
    query.extend(texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    if words.regex {
        query.push(("regex", "1".to_owned()));
    }
    if words.ignore_case {
        query.push(("any_case", "1".to_owned()));
    }
    if let Some(until) = &words.until {
        query.push(("until", parse_moment(until, now)?.to_string()));
    }
    Ok(query)
}

fn read_time<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = <&str>::deserialize(from)?;
    text.parse().map_err(D::Error::custom)
}

/// Takes an NDJSON answer apart.
pub(crate) fn parse_lines(body: &[u8]) -> Result<Lines<'_>, Fatal> {
    let ours = |error: Box<dyn std::error::Error + Send + Sync>| Fatal::Ours {
        what: "read the answer",
        source: error,
    };
    let text = std::str::from_utf8(body).map_err(|error| ours(error.into()))?;
    let Some((lines, end)) = text.trim_end().rsplit_once('\n').or(Some(("", text.trim_end())))
    else {
        return Err(ours("it is empty".into()));
    };
    let end: Value = serde_json::from_str(end).map_err(|error| ours(error.into()))?;
    if !end["end"].is_object() {
        return Err(ours("it is cut off".into()));
    }
    let mut parsed = Vec::new();
    for raw in lines.lines() {
        let line: Line<'_> = serde_json::from_str(raw).map_err(|error| ours(error.into()))?;
        parsed.push(Line { raw, ..line });
    }
    Ok(Lines { lines: parsed, end: end["end"].clone() })
}

/// Prints a line: its JSON as it came, or for people.
pub(crate) fn print_line(line: &Line<'_>, paper: &mut Paper<'_>) -> Result<(), Fatal> {
    if paper.json {
        writeln!(paper.out, "{}", line.raw)?;
        return Ok(());
    }
    let origin = if line.program.is_empty() { &line.source } else { &line.program };
    let (on, off) = match line.severity.as_str() {
        _ if !paper.color => ("", ""),
        "emerg" | "alert" | "crit" => ("\u{1b}[1;31m", "\u{1b}[0m"),
        "err" => ("\u{1b}[31m", "\u{1b}[0m"),
        "warning" => ("\u{1b}[33m", "\u{1b}[0m"),
        _ => ("", ""),
    };
    let time = show_ms(line.time, &paper.zone);
    let (host, origin, message) = (plain(&line.host), plain(origin), plain(&line.message));
    writeln!(paper.out, "{time} {host} {origin} {on}{:<7}{off} {message}", plain(&line.severity))?;
    Ok(())
}
