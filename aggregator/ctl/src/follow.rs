//! `logs -f`: asks again and again for lines since a little before the last one, and drops repeats.
//!
//! Lines arrive out of order: hosts seal their frames up to a second late, and aggregators differ. So each
//! question reaches a little further back; what was seen is known by its identity, in bounded memory.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use jiff::{Span, Timestamp, ToSpan as _, Zoned};

use crate::client::Client;
use crate::ending::{Ending, Fatal};
use crate::logs::{Line, Lines, filters, parse_lines, print_line, since};
use crate::paper::Paper;
use crate::words::LogsWords;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);
/// After a question that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Lines shown before new ones when nobody says.
const LIMIT_DEFAULT: usize = 10;
/// Lines of one question.
const LINES_MAX: usize = 5_000;
/// Lines that are remembered, at least those of the overlap. Beyond it the oldest may show twice.
const SEEN_MAX: usize = 65_536;

/// How far each question reaches back behind the latest line.
fn overlap() -> Span {
    10.seconds()
}

/// What makes a line one of a kind.
type Identity = (String, String, u64, u32);

#[derive(Debug, Default)]
struct Seen {
    set: HashSet<Identity>,
    order: VecDeque<Identity>,
}

impl Seen {
    /// True when the line is new.
    fn add(&mut self, line: &Line<'_>) -> bool {
        let identity = (line.host.clone(), line.stream.clone(), line.seq, line.index);
        if !self.set.insert(identity.clone()) {
            return false;
        }
        self.order.push_back(identity);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }
}

pub(crate) async fn logs(
    client: &Client,
    words: &LogsWords,
    now: &Zoned,
    paper: &mut Paper<'_>,
) -> Result<Ending, Fatal> {
    tokio::select! {
        ending = follow(client, words, now, paper) => ending,
        _ = tokio::signal::ctrl_c() => Ok(Ending::Fine),
    }
}

async fn follow(
    client: &Client,
    words: &LogsWords,
    now: &Zoned,
    paper: &mut Paper<'_>,
) -> Result<Ending, Fatal> {
    let filters = filters(words, now)?;
    let mut seen = Seen::default();
    let mut since = first(client, words, now, &mut seen, paper).await?;
    let mut silent = serde_json::Value::Null;
    let mut is_lost = false;
    loop {
        paper.out.flush()?;
        tokio::time::sleep(if is_lost { RETRY_PAUSE } else { PAUSE }).await;
        let mut query = filters.clone();
        query.extend([
            ("since", since.to_string()),
            ("order", "oldest".to_owned()),
            ("limit", LINES_MAX.to_string()),
        ]);
        let body = match client.ask("/api/v1/logs", &query).await {
            Ok(body) => body,
            // An aggregator that restarts is back soon; a mistake stays one.
            Err(
                fatal @ (Fatal::Unreachable { .. } | Fatal::Timeout { .. } | Fatal::Failed { .. }),
            ) => {
                if !is_lost {
                    writeln!(paper.err, "musterctl: {fatal}; trying again")?;
                }
                is_lost = true;
                continue;
            }
            Err(fatal) => return Err(fatal),
        };
        is_lost = false;
        let answer = parse_lines(&body)?;
        for line in answer.lines.iter().filter(|line| seen.add(line)) {
            print_line(line, paper)?;
        }
        since = next_since(since, &answer);
        if answer.end["unanswered"] != silent {
            silent = answer.end["unanswered"].clone();
            paper.ending(&answer.end)?;
        }
    }
}

/// Prints the last lines before now; says where to go on.
async fn first(
    client: &Client,
    words: &LogsWords,
    now: &Zoned,
    seen: &mut Seen,
    paper: &mut Paper<'_>,
) -> Result<Timestamp, Fatal> {
    let mut query = filters(words, now)?;
    query.push(("limit", words.limit.unwrap_or(LIMIT_DEFAULT).max(1).to_string()));
    query.push(("since", since(words, now)?.to_string()));
    let body = client.ask("/api/v1/logs", &query).await?;
    let answer = parse_lines(&body)?;
    for line in answer.lines.iter().rev() {
        seen.add(line);
        print_line(line, paper)?;
    }
    // From just behind the last one: older lines were left out on purpose.
    let last = answer.lines.first().map(|line| line.time);
    Ok(last.unwrap_or_else(|| back(now.timestamp())))
}

/// Where the next question begins.
fn next_since(since: Timestamp, answer: &Lines<'_>) -> Timestamp {
    let Some(last) = answer.lines.last().map(|line| line.time) else { return since };
    if answer.end["limited"] == serde_json::Value::Bool(true) {
        // More is waiting than one answer holds: no overlap until we have caught up, and never stand still.
        let step = if last == since { 1.microsecond() } else { 0.microseconds() };
        return last.checked_add(step).unwrap_or(last).max(since);
    }
    back(last).max(since)
}

fn back(at: Timestamp) -> Timestamp {
    at.checked_sub(overlap()).unwrap_or(at)
}
