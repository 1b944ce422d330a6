//! Times as people write and read them.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _, Zoned};

use crate::ending::Fatal;

/// Reads a time: how long ago (`1h`, `90s`, `2d`, `1h30m`), `now`, `today`, `yesterday`, a moment with zone
/// (RFC 3339), or a date, a date with time, or a time of today in the local zone.
///
/// # Errors
/// [`Fatal::Usage`] with the forms.
pub(crate) fn parse_moment(text: &str, now: &Zoned) -> Result<Timestamp, Fatal> {
    let text = text.trim();
    let zone = now.time_zone();
    let local = |at: DateTime| at.to_zoned(zone.clone()).ok().map(|at| at.timestamp());
    let ago = |span: Span| now.checked_sub(span.abs()).ok().map(|at| at.timestamp());
    let found = match text {
        "now" => Some(now.timestamp()),
        "today" => local(now.date().at(0, 0, 0, 0)),
        "yesterday" => {
            now.date().checked_sub(1.day()).ok().and_then(|date| local(date.at(0, 0, 0, 0)))
        }
        _ => None,
    };
    found
        .or_else(|| text.parse::<Timestamp>().ok())
        .or_else(|| text.parse::<Date>().ok().filter(|_| text.len() <= 10).and_then(|date| local(date.at(0, 0, 0, 0))))
        .or_else(|| text.parse::<DateTime>().ok().and_then(local))
        .or_else(|| text.parse::<Time>().ok().and_then(|time| local(now.date().to_datetime(time))))
        .or_else(|| text.trim_end_matches(" ago").parse::<Span>().ok().and_then(ago))
        .ok_or_else(|| {
            Fatal::Usage(format!(
                "`{text}` is no time; write 1h, 30m, 2d, 2026-11-20T10:00:00Z, \"2026-11-20 10:00\", 10:00, today or yesterday"
            ))
        })
}

/// A moment for a table: local, to the second.
pub(crate) fn show(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A moment for a log line: local, to the millisecond.
pub(crate) fn show_ms(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}
