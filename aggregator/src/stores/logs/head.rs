//! The head: frames that are not sealed yet, decoded into columns, shared with searches.
//!
//! Room: `stores/logs`.  May use: `proto`.  Used by: `logs`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::frame::{self, Header, Kind};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::log::{LogFrame, parse_log};

use super::line::{FLAG_CLAMPED, Frames, LineSource, Lines, class_name};
use crate::stores::{HostTag, StoreError};

/// What a line costs in the head beside its text. Bytes.
const LINE_COST_BYTES: u64 = 24;
/// Class of lines whose own class would be one too many.
pub(super) const OVERFLOW_CLASS: &str = "overflow";

/// One frame of the head. Never changed once it is there.
#[derive(Debug)]
pub(super) struct HeadFrame {
    pub(super) spool_seq: u64,
    pub(super) sources: Vec<Arc<LineSource>>,
    pub(super) lines: Lines,
    /// The lines, each followed by a newline.
    pub(super) text: Vec<u8>,
    pub(super) first_at: i64,
    pub(super) last_at: i64,
}

impl HeadFrame {
    pub(super) fn cost_bytes(&self) -> u64 {
        self.text.len() as u64 + LINE_COST_BYTES * self.lines.len() as u64
    }
}

/// The times that are believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Belief {
    pub(super) now: Utc,
    pub(super) past: Duration,
    pub(super) future: Duration,
}

impl Belief {
    fn clamp(&self, at: Utc) -> (i64, u8) {
        if at >= self.now.before(self.past) && at <= self.now.after(self.future) {
            (at.0, 0)
        } else {
            (self.now.0, FLAG_CLAMPED)
        }
    }
}

/// Turns frames into head frames; keeps scratch memory and one copy of each source.
#[derive(Default)]
pub(super) struct Decoder {
    raw: Vec<u8>,
    known: HashSet<Arc<LineSource>>,
    classes: HashSet<Arc<str>>,
}

impl Decoder {
    pub(super) fn new(classes: impl IntoIterator<Item = String>) -> Decoder {
        Decoder { classes: classes.into_iter().map(Arc::from).collect(), ..Decoder::default() }
    }

    /// Checks and inflates a frame's body.
    ///
    /// # Errors
    /// [`StoreError::Frame`], [`StoreError::Kind`], [`StoreError::Body`].
    pub(super) fn decode(
        &mut self,
        tag: &HostTag,
        frame: &[u8],
        classes_max: usize,
        belief: Belief,
    ) -> Result<HeadFrame, StoreError> {
        let (header, body) = frame::open(frame)?;
        if header.kind != Kind::Log {
            let found = format!("{:?}", header.kind).to_lowercase();
            return Err(StoreError::Kind { store: "log", found });
        }
        let mut raw = std::mem::take(&mut self.raw);
        let inflated = frame::inflate(&header, body, &mut raw);
        let decoded = inflated.map_err(StoreError::Frame).and_then(|()| {
            let parsed = parse_log(header.first_at, &raw).map_err(|source| StoreError::Body {
                what: "log lines",
                host: tag.host.clone(),
                source: source.into(),
            })?;
            Ok(self.columns(tag, &header, &parsed, (classes_max, belief)))
        });
        self.raw = raw;
        decoded
    }

    fn columns(
        &mut self,
        tag: &HostTag,
        header: &Header,
        parsed: &LogFrame<'_>,
        (classes_max, belief): (usize, Belief),
    ) -> HeadFrame {
        let sources = self.sources(tag, parsed, classes_max);
        let count = parsed.len();
        let mut lines = Lines {
            at: Vec::with_capacity(count),
            source: Vec::with_capacity(count),
            severity: Vec::with_capacity(count),
            flags: Vec::with_capacity(count),
            index: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            frames: Frames::One(header.stream, header.seq),
        };
        let mut text = Vec::with_capacity(header.raw_len as usize + 1);
        let (mut first_at, mut last_at) = (i64::MAX, i64::MIN);
        for line in parsed.lines() {
            let (at, clamped) = belief.clamp(line.at);
            first_at = first_at.min(at);
            last_at = last_at.max(at);
            lines.at.push(at);
            lines.source.push(line.source as u32);
            lines.severity.push(line.severity as u8);
            lines.flags.push(line.flags | clamped);
            lines.index.push(line.index);
            text.extend_from_slice(line.text);
            lines.ends.push(text.len() as u32);
            text.push(b'\n');
        }
        text.shrink_to_fit();
        HeadFrame { spool_seq: 0, sources, lines, text, first_at, last_at }
    }

    fn sources(
        &mut self,
        tag: &HostTag,
        parsed: &LogFrame<'_>,
        classes_max: usize,
    ) -> Vec<Arc<LineSource>> {
        let host: Arc<str> = Arc::from(&*tag.host);
        let datacenter: Arc<str> = Arc::from(&*tag.datacenter);
        let mut sources = Vec::with_capacity(parsed.sources.len());
        for source in &parsed.sources {
            let wanted = LineSource {
                host: Arc::clone(&host),
                datacenter: Arc::clone(&datacenter),
                class: self.class(&source.class, classes_max),
                kind: source.kind,
                name: Arc::from(&*source.name),
                program: Arc::from(&*source.program),
            };
            let kept = match self.known.get(&wanted) {
                Some(kept) => Arc::clone(kept),
                None => {
                    let new = Arc::new(wanted);
                    self.known.insert(Arc::clone(&new));
                    new
                }
            };
            sources.push(kept);
        }
        sources
    }

    fn class(&mut self, name: &str, classes_max: usize) -> Arc<str> {
        let clean = class_name(name);
        if let Some(known) = self.classes.get(&*clean) {
            return Arc::clone(known);
        }
        let fits = self.classes.len() < classes_max || clean == OVERFLOW_CLASS;
        let class: Arc<str> = Arc::from(if fits { &*clean } else { OVERFLOW_CLASS });
        self.classes.insert(Arc::clone(&class));
        class
    }

    /// Forgets sources that no frame of the head names any more.
    pub(super) fn forget_unused(&mut self) {
        self.known.retain(|source| Arc::strong_count(source) > 1);
    }
}

/// The frames themselves, and what of the spool is sealed. Behind one short lock.
#[derive(Default)]
pub(super) struct Head {
    pub(super) frames: Vec<Arc<HeadFrame>>,
    pub(super) bytes: u64,
    /// Last spool seq that is sealed.
    pub(super) upto: u64,
    /// When the oldest frame here was taken.
    pub(super) since: Option<Utc>,
    seen: HashSet<(Arc<str>, StreamId, Seq)>,
}

impl Head {
    pub(super) fn new(upto: u64) -> Head {
        Head { upto, ..Head::default() }
    }

    /// False when the same frame of the same host is here already.
    pub(super) fn push(&mut self, tag: &HostTag, frame: HeadFrame, now: Utc) -> bool {
        if let Frames::One(stream, seq) = frame.lines.frames
            && !self.seen.insert((Arc::from(&*tag.host), stream, seq))
        {
            return false;
        }
        self.bytes += frame.cost_bytes();
        self.since.get_or_insert(now);
        self.frames.push(Arc::new(frame));
        true
    }

    /// Last spool seq in the head or sealed.
    pub(super) fn last(&self) -> u64 {
        self.frames.last().map_or(self.upto, |frame| frame.spool_seq.max(self.upto))
    }

    /// Takes out what is sealed now.
    pub(super) fn sealed(&mut self, upto: u64, now: Utc) {
        self.upto = self.upto.max(upto);
        self.frames.retain(|frame| frame.spool_seq > upto);
        self.bytes = self.frames.iter().map(|frame| frame.cost_bytes()).sum();
        self.since = (!self.frames.is_empty()).then_some(now);
        self.seen = self.frames.iter().filter_map(|frame| seen_as(frame)).collect();
    }
}

fn seen_as(frame: &HeadFrame) -> Option<(Arc<str>, StreamId, Seq)> {
    let Frames::One(stream, seq) = frame.lines.frames else { return None };
    Some((Arc::clone(&frame.sources.first()?.host), stream, seq))
}
