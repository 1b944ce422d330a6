//! Reading the body of a log frame. Everything is checked before the first line is handed out.

use super::body::BodyIn;
use super::column::{RunReader, take_varint, unzigzag};
use super::{LogSource, Severity};
use crate::clock::Utc;
use crate::limits::{
    FRAME_RAW_BYTES_MAX, FRAME_RECORDS_MAX, LOG_LINE_BYTES_MAX, LOG_SOURCE_NAME_BYTES_MAX,
    NAME_BYTES_MAX,
};

/// Why bytes are not the body of a log frame. Nothing of it may be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not CBOR, or a key is missing or of the wrong type.
    #[error("log body is not the expected CBOR")]
    Cbor(#[source] serde_cbor::Error),
    /// A column is not made of varints, or one of its values is impossible.
    #[error("log column {column} is damaged at line {line}")]
    Column {
        /// Which.
        column: &'static str,
        /// The first line it cannot give.
        line: u64,
    },
    /// A column speaks of more or fewer lines than there are.
    #[error("log column {column} has {have} lines where there are {need}")]
    Count {
        /// Which.
        column: &'static str,
        /// Lines in it.
        have: u64,
        /// Lines in `lens`.
        need: u64,
    },
    /// The lengths of the lines do not add up to the blob.
    #[error("log lines take {lines} bytes of a blob of {blob}")]
    Blob {
        /// Sum of the lengths.
        lines: u64,
        /// Length of the blob.
        blob: u64,
    },
    /// Something is over its limit.
    #[error("log field {field} is {value}, over the limit of {limit}")]
    Limit {
        /// Which.
        field: &'static str,
        /// What it is.
        value: u64,
        /// What is allowed.
        limit: u64,
    },
}

/// A checked log body.
#[derive(Debug)]
pub struct LogFrame<'a> {
    /// Where the lines came from; [`LogLine::source`] counts in it.
    pub sources: Vec<LogSource>,
    body: Columns<'a>,
}

#[derive(Debug, Clone, Copy)]
struct Columns<'a> {
    first: Utc,
    lines: u32,
    runs: &'a [u8],
    times: &'a [u8],
    severities: &'a [u8],
    flags: &'a [u8],
    lens: &'a [u8],
    blob: &'a [u8],
}

/// One line of a log frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Position in the frame, from 0. Together with host, stream and seq it names the line for ever.
    pub index: u32,
    /// Index into [`LogFrame::sources`].
    pub source: usize,
    /// When: written or read, see `FLAG_READ_TIME`.
    pub at: Utc,
    /// How bad. Files have no severity of their own and say `Info`.
    pub severity: Severity,
    /// `FLAG_…` bits; unknown ones are kept.
    pub flags: u8,
    /// The line without its newline. Not necessarily UTF-8.
    pub text: &'a [u8],
}

/// Checks the body of a log frame.
///
/// # Shape
/// In: `first_at` of the frame's header, and the decompressed body. Out: slices of that body.
///
/// # Errors
/// [`LogError`]. An unknown key, an unknown flag and an unused source are not errors.
pub fn parse_log(first_at: Utc, raw: &[u8]) -> Result<LogFrame<'_>, LogError> {
    within("raw bytes", raw.len(), FRAME_RAW_BYTES_MAX)?;
    let body: BodyIn<'_> = serde_cbor::from_slice(raw).map_err(LogError::Cbor)?;
    for source in &body.sources {
        within("source name", source.name.len(), LOG_SOURCE_NAME_BYTES_MAX)?;
        within("source program", source.program.len(), NAME_BYTES_MAX)?;
        within("source class", source.class.len(), NAME_BYTES_MAX)?;
    }
    let lines = check_lens(body.lens, body.blob)?;
    let sources = body.sources;
    check_runs("runs", body.runs, lines, |source| source < sources.len() as u64)?;
    check_runs("severities", body.severities, lines, |severity| severity <= 7)?;
    check_runs("flags", body.flags, lines, |flags| flags <= 0xff)?;
    let first = first_at.0.checked_add(body.start);
    let first = first.ok_or(LogError::Column { column: "start", line: 0 })?;
    let mut at = Some(first);
    check_runs("times", body.times, lines, |delta| {
        at = at.and_then(|at| at.checked_add(unzigzag(delta)));
        at.is_some()
    })?;
    let body = Columns {
        first: Utc(first),
        lines: lines as u32,
        runs: body.runs,
        times: body.times,
        severities: body.severities,
        flags: body.flags,
        lens: body.lens,
        blob: body.blob,
    };
    Ok(LogFrame { sources, body })
}

impl<'a> LogFrame<'a> {
    /// How many lines there are; must be the header's `records`.
    pub fn len(&self) -> usize {
        self.body.lines as usize
    }

    /// True when there is no line.
    pub fn is_empty(&self) -> bool {
        self.body.lines == 0
    }

    /// Every line, in the order it was collected.
    pub fn lines(&self) -> Lines<'a> {
        let body = self.body;
        Lines {
            index: 0,
            at: body.first,
            source: Run::new(body.runs),
            time: Run::new(body.times),
            severity: Run::new(body.severities),
            flags: Run::new(body.flags),
            lens: body.lens,
            blob: body.blob,
        }
    }
}

/// Iterates over the lines of a frame. See [`LogFrame::lines`].
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    index: u32,
    at: Utc,
    source: Run<'a>,
    time: Run<'a>,
    severity: Run<'a>,
    flags: Run<'a>,
    lens: &'a [u8],
    blob: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = LogLine<'a>;

    /// The columns were checked by [`parse_log`], so `None` means the end and nothing else.
    fn next(&mut self) -> Option<LogLine<'a>> {
        let len = take_varint(&mut self.lens)? as usize;
        let (text, rest) = self.blob.split_at_checked(len)?;
        self.blob = rest;
        let (source, _) = self.source.step()?;
        let (delta, new_time) = self.time.step()?;
        if new_time {
            self.at = Utc(self.at.0.wrapping_add(unzigzag(delta)));
        }
        let (severity, _) = self.severity.step()?;
        let (flags, _) = self.flags.step()?;
        let index = self.index;
        self.index += 1;
        Some(LogLine {
            index,
            source: source as usize,
            at: self.at,
            severity: Severity::from_byte(severity as u8)?,
            flags: flags as u8,
            text: text.strip_suffix(b"\n").unwrap_or(text),
        })
    }
}

/// A run-length column, one line at a time.
#[derive(Debug, Clone)]
struct Run<'a> {
    rest: RunReader<'a>,
    value: u64,
    left: u64,
}

impl<'a> Run<'a> {
    fn new(bytes: &'a [u8]) -> Run<'a> {
        Run { rest: RunReader::new(bytes), value: 0, left: 0 }
    }

    /// The value of the next line, and whether a run begins with it.
    fn step(&mut self) -> Option<(u64, bool)> {
        let begins = self.left == 0;
        if begins {
            (self.value, self.left) = self.rest.take().ok()??;
        }
        self.left -= 1;
        Some((self.value, begins))
    }
}

fn check_lens(lens: &[u8], blob: &[u8]) -> Result<u64, LogError> {
    let mut rest = lens;
    let (mut lines, mut bytes) = (0u64, 0u64);
    while !rest.is_empty() {
        let damaged = LogError::Column { column: "lens", line: lines };
        let len = take_varint(&mut rest).ok_or(damaged)?;
        within("line bytes", usize::try_from(len).unwrap_or(usize::MAX), LOG_LINE_BYTES_MAX + 1)?;
        lines += 1;
        bytes += len;
    }
    within("lines", usize::try_from(lines).unwrap_or(usize::MAX), FRAME_RECORDS_MAX)?;
    if bytes != blob.len() as u64 {
        return Err(LogError::Blob { lines: bytes, blob: blob.len() as u64 });
    }
    Ok(lines)
}

fn check_runs(
    column: &'static str,
    bytes: &[u8],
    need: u64,
    mut allowed: impl FnMut(u64) -> bool,
) -> Result<(), LogError> {
    let mut runs = RunReader::new(bytes);
    let mut have = 0u64;
    loop {
        let damaged = LogError::Column { column, line: have };
        match runs.take() {
            Ok(None) => break,
            Ok(Some((value, count))) if allowed(value) => have = have.saturating_add(count),
            _ => return Err(damaged),
        }
    }
    if have == need { Ok(()) } else { Err(LogError::Count { column, have, need }) }
}

fn within(field: &'static str, value: usize, limit: usize) -> Result<(), LogError> {
    if value > limit {
        return Err(LogError::Limit { field, value: value as u64, limit: limit as u64 });
    }
    Ok(())
}
