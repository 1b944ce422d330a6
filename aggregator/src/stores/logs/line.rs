//! Stored lines: where they come from, what makes each of them one of a kind, and their order.
//!
//! Room: `stores/logs`.  May use: `proto`.  Used by: head, blocks, search, the API.

use std::sync::Arc;

use muster_proto::clock::Utc;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::log::{Severity, SourceKind};

/// The time was beyond belief (see `LogSettings`) and was replaced by the time of receipt.
///
/// Stands beside the flags of `muster_proto::log`, from the other end.
pub const FLAG_CLAMPED: u8 = 0x80;

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LineSource {
    /// Host that sent them.
    pub host: Arc<str>,
    /// Where the host stands.
    pub datacenter: Arc<str>,
    /// Log class, as the folder is called.
    pub class: Arc<str>,
    /// Kind of place.
    pub kind: SourceKind,
    /// Path or unit.
    pub name: Arc<str>,
    /// Program; may be empty.
    pub program: Arc<str>,
}

impl LineSource {
    /// What lines are sorted by first: the program, else the unit or path.
    pub(super) fn sort_name(&self) -> &str {
        if self.program.is_empty() { &self.name } else { &self.program }
    }
}

/// What makes a line one of a kind, in the order of time. Equal keys are the same line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineKey {
    /// When it was written.
    pub at: Utc,
    /// Host that sent it.
    pub host: Arc<str>,
    /// Stream of the host's log lane.
    pub stream: StreamId,
    /// Frame in the stream.
    pub seq: Seq,
    /// Line in the frame.
    pub index: u32,
}

/// A line that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHit {
    /// When it was written.
    pub at: Utc,
    /// Where it comes from.
    pub source: Arc<LineSource>,
    /// How bad.
    pub severity: Severity,
    /// Flags of `muster_proto::log`, and [`FLAG_CLAMPED`].
    pub flags: u8,
    /// Stream of the host's log lane.
    pub stream: StreamId,
    /// Frame in the stream.
    pub seq: Seq,
    /// Line in the frame.
    pub index: u32,
    /// The line as the program wrote it, without newline; any bytes.
    pub text: Vec<u8>,
}

impl LogHit {
    /// Its place in the order of all lines.
    pub fn key(&self) -> LineKey {
        LineKey {
            at: self.at,
            host: Arc::clone(&self.source.host),
            stream: self.stream,
            seq: self.seq,
            index: self.index,
        }
    }
}

/// Lines as columns: a head frame or a decoded block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lines {
    /// Microseconds since 1970.
    pub(super) at: Vec<i64>,
    /// Place in the table of sources.
    pub(super) source: Vec<u32>,
    /// 0..=7.
    pub(super) severity: Vec<u8>,
    pub(super) flags: Vec<u8>,
    /// Line in its frame.
    pub(super) index: Vec<u32>,
    /// Where each line's text ends; its newline stands there.
    pub(super) ends: Vec<u32>,
    pub(super) frames: Frames,
}

/// Which frame each line is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frames {
    /// All of one frame: the head.
    One(StreamId, Seq),
    /// Each its own: blocks.
    Each { streams: Vec<StreamId>, stream: Vec<u32>, seq: Vec<u64> },
}

impl Default for Frames {
    fn default() -> Frames {
        Frames::One(StreamId::default(), Seq::NONE)
    }
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    /// Where line `n` stands in the text, without its newline.
    #[inline]
    pub(super) fn span(&self, n: usize) -> std::ops::Range<usize> {
        let start = if n == 0 { 0 } else { self.ends[n - 1] as usize + 1 };
        start..self.ends[n] as usize
    }

    /// The line that the byte at `place` of the text belongs to.
    pub(super) fn line_at(&self, place: usize) -> usize {
        self.ends.partition_point(|end| (*end as usize) < place)
    }

    pub(super) fn frame(&self, n: usize) -> (StreamId, Seq) {
        match &self.frames {
            Frames::One(stream, seq) => (*stream, *seq),
            Frames::Each { streams, stream, seq } => (streams[stream[n] as usize], Seq(seq[n])),
        }
    }

    pub(super) fn severity(&self, n: usize) -> Severity {
        Severity::from_byte(self.severity[n]).unwrap_or(Severity::Debug)
    }
}

/// A class name as it may stand in a path: `[a-z0-9_-]{1,64}`.
///
/// Upper case is lowered, other bytes become `_`, the rest is cut; an empty name is `default`. Two
/// names may become one, never one two: a restricted class cannot be dodged by its spelling.
pub fn class_name(name: &str) -> String {
    let clean: String = name
        .bytes()
        .take(CLASS_BYTES_MAX)
        .map(|byte| match byte.to_ascii_lowercase() {
            byte @ (b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-') => char::from(byte),
            _ => '_',
        })
        .collect();
    if clean.is_empty() { "default".to_string() } else { clean }
}

/// True when a folder may be a class.
pub(super) fn is_class_name(name: &str) -> bool {
    !name.is_empty() && class_name(name) == name
}

/// Length of a class name. Bytes.
const CLASS_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_cannot_leave_their_folder() {
        for (given, clean) in [
            ("auth", "auth"),
            ("AUTH", "auth"),
            ("", "default"),
            ("../../etc", "______etc"),
            ("a b/é", "a_b___"),
            (&"x".repeat(99), &"x".repeat(64)),
        ] {
            assert_eq!(class_name(given), clean);
            assert!(is_class_name(clean));
        }
        assert!(!is_class_name("A") && !is_class_name("") && !is_class_name("."));
    }

    #[test]
    fn a_place_in_the_text_belongs_to_one_line() {
        // "ab\n\ncd\n"
        let lines = Lines { at: vec![0; 3], ends: vec![2, 3, 6], ..Lines::default() };
        assert_eq!((0..3).map(|n| lines.span(n)).collect::<Vec<_>>(), [0..2, 3..3, 4..6]);
        let of: Vec<_> = (0..7).map(|place| lines.line_at(place)).collect();
        assert_eq!(of, [0, 0, 0, 1, 2, 2, 2]);
    }
}
