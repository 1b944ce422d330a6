//! Times in questions and answers.

use std::time::Duration;

use jiff::Timestamp;
use muster_proto::clock::Utc;

/// RFC 3339, UTC, microseconds: `2026-11-20T10:00:00.000000Z`.
pub fn to_rfc3339(at: Utc) -> String {
    // The years that a timestamp cannot write are those of broken clocks; the ends of the range say so.
    let at = Timestamp::from_microsecond(at.0).unwrap_or(if at.0 < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    format!("{at:.6}")
}

/// A moment in a question: RFC 3339, microseconds since 1970, or how long ago (`90s`, `15m`, `1h`, `2d`, `1w`).
///
/// `None` when it is none of them.
pub fn parse_moment(text: &str, now: Utc) -> Option<Utc> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(Utc(at.as_microsecond()));
    }
    if let Ok(at) = text.parse::<i64>() {
        return Some(Utc(at));
    }
    parse_span(text).map(|span| now.before(span))
}

/// A length of time: a number and `ms`, `s`, `m`, `h`, `d` or `w`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let count: u64 = text[..digits].parse().ok()?;
    let unit_ms: u64 = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    count.checked_mul(unit_ms).map(Duration::from_millis)
}
