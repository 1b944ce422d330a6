//! Log frames: a table of sources, columns, and one contiguous blob of bytes.
//!
//! Pure parts: [`LogBlock`] collects lines and seals them; [`parse_log`] reads them back.
//!
//! # The body of a log frame, after decompression
//! One CBOR map (RFC 8949). Unknown keys are skipped, missing ones are errors.
//!
//! ```text
//! key         CBOR         meaning
//! sources     array        one map {kind, name, program, class} per source, at most LOG_SOURCES_MAX
//! start       integer      time of the first line, microseconds after the header's first_at
//! runs        byte string  (source index, line count) varint pairs
//! times       byte string  (time after that of the run before, microseconds, zigzag; line count)
//!                          varint pairs; the first run is `start` later than first_at, its delta 0
//! severities  byte string  (severity 0..=7, line count) varint pairs
//! flags       byte string  (flags, line count) varint pairs
//! lens        byte string  one varint per line: its bytes in the blob, its newline included
//! blob        byte string  the lines one after the other, bytes as they were read
//! ```
//!
//! A varint is unsigned LEB128 in at most ten bytes. A run's count is at least 1, and the counts of
//! each column add up to the number of lines, which is the header's `records`. The lengths add up
//! to the blob. One newline at the end of a line's bytes is not part of its text; a line that was
//! cut or never ended has none.
//!
//! Lines of one file that were read together share one time and one source, so a file costs about
//! one byte a line beside its text.

mod block;
mod body;
mod column;
mod reader;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use block::{Indexed, LogBlock};
pub use reader::{Lines, LogError, LogFrame, LogLine, parse_log};

/// Syslog severity (RFC 5424 §6.2.1). Lower is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the eight words of RFC 5424 speak for themselves
pub enum Severity {
    Emerg = 0,
    Alert = 1,
    Crit = 2,
    Err = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Severity {
    /// All of them, worst first.
    pub const ALL: [Severity; 8] = [
        Severity::Emerg,
        Severity::Alert,
        Severity::Crit,
        Severity::Err,
        Severity::Warning,
        Severity::Notice,
        Severity::Info,
        Severity::Debug,
    ];

    /// The severity of a wire byte or syslog number.
    pub fn from_byte(byte: u8) -> Option<Severity> {
        Severity::ALL.get(usize::from(byte)).copied()
    }

    /// The keyword, as in syslog.conf(5).
    pub fn name(self) -> &'static str {
        match self {
            Severity::Emerg => "emerg",
            Severity::Alert => "alert",
            Severity::Crit => "crit",
            Severity::Err => "err",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
            Severity::Info => "info",
            Severity::Debug => "debug",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What kind of place a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A file; `name` is its path.
    File,
    /// journald; `name` is the unit, or empty.
    Journald,
}

/// Where lines came from. Stands once per frame, not once per line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogSource {
    /// Kind of place.
    pub kind: SourceKind,
    /// Path or unit.
    pub name: String,
    /// Program (`SYSLOG_IDENTIFIER`), empty when not known.
    pub program: String,
    /// Log class: decides retention and who may read.
    pub class: String,
}

/// The line was longer than `LOG_LINE_BYTES_MAX` and is cut.
pub const FLAG_CUT: u8 = 1;
/// The line had no newline when it was taken (end of a rotated or idle file).
pub const FLAG_PARTIAL: u8 = 2;
/// The time is when the agent read the line, not when the program wrote it.
pub const FLAG_READ_TIME: u8 = 4;
