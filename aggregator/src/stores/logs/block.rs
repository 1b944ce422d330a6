//! The block: up to a mebibyte of sorted lines, compressed once, read whole. Bytes in, bytes out.
//!
//! Room: `stores/logs`.  May use: `proto`.  Used by: the seal, the search.
//!
//! A block is two *sections*, stored apart so that a search for a host need not read the lines.
//!
//! ```text
//! section := magic "MLT1" or "MLB2" | raw_len u32 | crc32c u32 (over the rest) | one zstd frame
//!
//! tables ("MLT1"), all numbers varints (see `varint`), text = length, then UTF-8:
//!   texts    count, then each text                       hosts, datacenters, names, programs
//!   sources  count, then each: host, datacenter, kind, name, program   (places in texts; kind 1 file,
//!                                                        2 journald)
//!   streams  count, then each 16 bytes
//!
//! lines ("MLB2"): count, then seven columns, each as length in bytes, then
//!   at       signed, difference to the line before (the first to 0), microseconds since 1970
//!   source   place in sources
//!   severity one byte each, 0..=7
//!   flags    one byte each
//!   stream   place in streams
//!   seq      signed, difference to the line before
//!   index    signed, difference to the line before
//! and then the text as shapes and values (see `shapes`)
//!
//! lines ("MLB1", read for ever, not written any more): as "MLB2", but with an eighth column
//!   len      length of the text
//! and then the text as it is: each line, followed by "\n"
//! ```
//!
//! The class is the folder's name. Written by `seal.rs`, never changed, deleted with its day file.
//! In memory the text is each line, followed by a newline. It is not needed to cut the text (lines
//! may contain some); it lets a regular expression run over the whole text without joining two lines.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use muster_proto::ids::StreamId;
use muster_proto::limits::{LOG_LINE_BYTES_MAX, NAME_BYTES_MAX};
use muster_proto::log::SourceKind;

use super::line::{Frames, LineSource, Lines};
use super::shapes::{self, Splitter};
use crate::stores::varint::{Reading, put, put_bytes, put_signed};

/// Lines in one block.
pub(super) const BLOCK_LINES_MAX: usize = 64 * 1024;
/// A section before compression. Bytes. Bounds what a decoder may inflate.
pub(super) const SECTION_RAW_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Distinct sources in one block. Reaching it ends the block.
pub(super) const BLOCK_SOURCES_MAX: usize = 8 * 1024;
/// Names from frames are at most this long; longer ones are cut. Bytes.
pub(super) const TEXT_MAX: usize = NAME_BYTES_MAX * 4;

const TABLES_MAGIC: [u8; 4] = *b"MLT1";
const LINES_MAGIC: [u8; 4] = *b"MLB2";
const LINES_MAGIC_V1: [u8; 4] = *b"MLB1";
const SECTION_HEAD: usize = 12;
const COLUMNS: usize = 7;

const _: () = assert!(LOG_LINE_BYTES_MAX * 4 <= SECTION_RAW_BYTES_MAX);
const _: () = assert!(BLOCK_SOURCES_MAX * 4 * 64 <= SECTION_RAW_BYTES_MAX);

/// Why bytes are not a block. Nothing of it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BlockError {
    #[error("block section does not begin with its magic")]
    Magic,
    #[error("block section checksum is wrong")]
    Crc,
    #[error("block section does not decompress to the announced length")]
    Inflate,
    #[error("block column {0} is cut short or out of range")]
    Column(&'static str),
}

/// The sources and streams of a block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tables {
    pub(super) sources: Vec<Arc<LineSource>>,
    pub(super) streams: Vec<StreamId>,
}

/// The lines of a block, inflated; columns are decoded only when a line is wanted.
pub(super) struct LinesRaw {
    raw: Vec<u8>,
    count: usize,
    columns: [Range<usize>; COLUMNS],
    text: Text,
}

/// The text of a block that is being read.
enum Text {
    /// Version 1: a part of what was inflated, and its column of lengths.
    Plain { lens: Range<usize>, text: Range<usize> },
    /// Put together from shapes.
    Joined { text: Vec<u8>, ends: Vec<u32> },
}

/// Encodes sections; keeps zstd's working memory between calls.
pub(super) struct BlockWriter {
    zstd: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    column: Vec<u8>,
    splitter: Splitter,
}

impl BlockWriter {
    pub(super) fn new(level: i32) -> std::io::Result<BlockWriter> {
        let zstd = zstd::bulk::Compressor::new(level)?;
        let splitter = Splitter::new();
        Ok(BlockWriter { zstd, raw: Vec::new(), column: Vec::new(), splitter })
    }

    /// The tables as a section.
    pub(super) fn encode_tables(&mut self, tables: &Tables) -> std::io::Result<Vec<u8>> {
        let mut texts = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut rows = Vec::new();
        for source in &tables.sources {
            for (column, text) in [&source.host, &source.datacenter, &source.name, &source.program]
                .into_iter()
                .enumerate()
            {
                let place = *places.entry(&**text).or_insert_with(|| {
                    texts.push(&**text);
                    texts.len() - 1
                });
                if column == 2 {
                    put(&mut rows, u64::from(kind_byte(source.kind)));
                }
                put(&mut rows, place as u64);
            }
        }
        self.raw.clear();
        put(&mut self.raw, texts.len() as u64);
        texts.iter().for_each(|text| put_bytes(&mut self.raw, text.as_bytes()));
        put(&mut self.raw, tables.sources.len() as u64);
        self.raw.extend_from_slice(&rows);
        put(&mut self.raw, tables.streams.len() as u64);
        tables.streams.iter().for_each(|stream| self.raw.extend_from_slice(&stream.0));
        self.section(TABLES_MAGIC)
    }

    /// The lines as a section. `text` is what `lines.ends` points into; `each` gets its tokens.
    pub(super) fn encode_lines(
        &mut self,
        lines: &Lines,
        text: &[u8],
        each: impl FnMut(&[u8]),
    ) -> std::io::Result<Vec<u8>> {
        self.raw.clear();
        put(&mut self.raw, lines.len() as u64);
        self.differences(lines.at.iter().copied());
        self.column(|out| lines.source.iter().for_each(|source| put(out, u64::from(*source))));
        self.column(|out| out.extend_from_slice(&lines.severity));
        self.column(|out| out.extend_from_slice(&lines.flags));
        match &lines.frames {
            Frames::Each { stream, seq, .. } => {
                self.column(|out| stream.iter().for_each(|stream| put(out, u64::from(*stream))));
                self.differences(seq.iter().map(|seq| seq.cast_signed()));
            }
            Frames::One(_, seq) => {
                self.column(|out| out.resize(lines.len(), 0));
                self.differences((0..lines.len()).map(|_| seq.0.cast_signed()));
            }
        }
        self.differences(lines.index.iter().map(|index| i64::from(*index)));
        self.splitter.split(lines, text, each, &mut self.raw);
        self.section(LINES_MAGIC)
    }

    fn differences(&mut self, values: impl Iterator<Item = i64>) {
        self.column(|out| {
            let mut before = 0i64;
            for value in values {
                put_signed(out, value.wrapping_sub(before));
                before = value;
            }
        });
    }

    fn column(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        self.column.clear();
        fill(&mut self.column);
        put_bytes(&mut self.raw, &self.column);
    }

    fn section(&mut self, magic: [u8; 4]) -> std::io::Result<Vec<u8>> {
        let mut out = vec![0; SECTION_HEAD + zstd::zstd_safe::compress_bound(self.raw.len())];
        let len = self.zstd.compress_to_buffer(&self.raw, &mut out[SECTION_HEAD..])?;
        out.truncate(SECTION_HEAD + len);
        out[0..4].copy_from_slice(&magic);
        out[4..8].copy_from_slice(&(self.raw.len() as u32).to_le_bytes());
        let crc = crc32c::crc32c(&out[SECTION_HEAD..]);
        out[8..12].copy_from_slice(&crc.to_le_bytes());
        out.shrink_to_fit();
        Ok(out)
    }
}

/// The byte of a kind in the tables.
fn kind_byte(kind: SourceKind) -> u8 {
    match kind {
        SourceKind::File => 1,
        SourceKind::Journald => 2,
    }
}

fn kind_of(byte: u8) -> Option<SourceKind> {
    match byte {
        1 => Some(SourceKind::File),
        2 => Some(SourceKind::Journald),
        _ => None,
    }
}

/// Reads a tables section; the class is the folder's.
///
/// # Errors
/// Any [`BlockError`].
pub(super) fn parse_tables(section: &[u8], class: &Arc<str>) -> Result<Tables, BlockError> {
    let raw = inflate(section, TABLES_MAGIC)?;
    let mut reading = Reading::new(&raw);
    let texts = parse_texts(&mut reading).ok_or(BlockError::Column("texts"))?;
    let sources =
        parse_sources(&mut reading, &texts, class).ok_or(BlockError::Column("sources"))?;
    let streams = parse_streams(&mut reading).ok_or(BlockError::Column("streams"))?;
    Ok(Tables { sources, streams })
}

fn parse_texts(reading: &mut Reading<'_>) -> Option<Vec<Arc<str>>> {
    let count = reading.next_len(BLOCK_SOURCES_MAX * 4)?;
    (0..count).map(|_| reading.text(TEXT_MAX).map(Arc::from)).collect()
}

fn parse_sources(
    reading: &mut Reading<'_>,
    texts: &[Arc<str>],
    class: &Arc<str>,
) -> Option<Vec<Arc<LineSource>>> {
    let count = reading.next_len(BLOCK_SOURCES_MAX)?;
    let text =
        |reading: &mut Reading<'_>| texts.get(reading.next_len(texts.len())?).map(Arc::clone);
    let mut sources = Vec::new();
    for _ in 0..count {
        sources.push(Arc::new(LineSource {
            host: text(reading)?,
            datacenter: text(reading)?,
            kind: kind_of(reading.byte()?)?,
            name: text(reading)?,
            program: text(reading)?,
            class: Arc::clone(class),
        }));
    }
    Some(sources)
}

fn parse_streams(reading: &mut Reading<'_>) -> Option<Vec<StreamId>> {
    let count = reading.next_len(BLOCK_LINES_MAX)?;
    (0..count).map(|_| reading.take(16)?.try_into().ok().map(StreamId)).collect()
}

/// Inflates a lines section, finds its columns, and puts its text together.
///
/// # Errors
/// Any [`BlockError`].
pub(super) fn parse_lines(section: &[u8]) -> Result<LinesRaw, BlockError> {
    let is_v1 = section.starts_with(&LINES_MAGIC_V1);
    let raw = inflate(section, if is_v1 { LINES_MAGIC_V1 } else { LINES_MAGIC })?;
    let mut reading = Reading::new(&raw);
    let cut = BlockError::Column("lengths");
    let count = reading.next_len(BLOCK_LINES_MAX).ok_or(cut)?;
    let next_column = |reading: &mut Reading<'_>| {
        let bytes = reading.bytes(SECTION_RAW_BYTES_MAX).ok_or(cut)?;
        let end = raw.len() - reading.len();
        Ok(end - bytes.len()..end)
    };
    let mut columns: [Range<usize>; COLUMNS] = Default::default();
    for column in &mut columns {
        *column = next_column(&mut reading)?;
    }
    let text = if is_v1 {
        let lens = next_column(&mut reading)?;
        Text::Plain { lens, text: raw.len() - reading.len()..raw.len() }
    } else {
        let joined = shapes::join(reading, count, SECTION_RAW_BYTES_MAX);
        let (text, ends) = joined.ok_or(BlockError::Column("text"))?;
        Text::Joined { text, ends }
    };
    Ok(LinesRaw { raw, count, columns, text })
}

impl LinesRaw {
    /// All lines, each followed by a newline.
    pub(super) fn text(&self) -> &[u8] {
        match &self.text {
            Text::Plain { text, .. } => &self.raw[text.clone()],
            Text::Joined { text, .. } => text,
        }
    }

    /// Decodes the columns; every place in them is checked against the tables and the text.
    ///
    /// # Errors
    /// [`BlockError::Column`].
    pub(super) fn lines(&self, tables: &Tables) -> Result<Lines, BlockError> {
        let at = self.sums(0).ok_or(BlockError::Column("at"))?;
        let source = self.places(1, tables.sources.len()).ok_or(BlockError::Column("source"))?;
        let severity = self.bytes(2).ok_or(BlockError::Column("severity"))?;
        if severity.iter().any(|severity| *severity > 7) {
            return Err(BlockError::Column("severity"));
        }
        let flags = self.bytes(3).ok_or(BlockError::Column("flags"))?;
        let stream = self.places(4, tables.streams.len()).ok_or(BlockError::Column("stream"))?;
        let seq = self.sums(5).ok_or(BlockError::Column("seq"))?;
        let index = self.sums(6).ok_or(BlockError::Column("index"))?;
        let index: Result<_, _> = index.into_iter().map(u32::try_from).collect();
        let ends = self.ends().ok_or(BlockError::Column("len"))?;
        let frames = Frames::Each {
            streams: tables.streams.clone(),
            stream,
            seq: seq.into_iter().map(i64::cast_unsigned).collect(),
        };
        let index = index.map_err(|_| BlockError::Column("index"))?;
        Ok(Lines { at, source, severity, flags, index, ends, frames })
    }

    fn column(&self, number: usize) -> Reading<'_> {
        Reading::new(&self.raw[self.columns[number].clone()])
    }

    fn sums(&self, number: usize) -> Option<Vec<i64>> {
        let mut reading = self.column(number);
        let mut sum = 0i64;
        let mut values = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            sum = sum.wrapping_add(reading.next_signed()?);
            values.push(sum);
        }
        reading.is_empty().then_some(values)
    }

    fn places(&self, number: usize, below: usize) -> Option<Vec<u32>> {
        let mut reading = self.column(number);
        let mut values = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            let place = reading.next_len(below)?;
            if place >= below {
                return None;
            }
            values.push(place as u32);
        }
        reading.is_empty().then_some(values)
    }

    fn bytes(&self, number: usize) -> Option<Vec<u8>> {
        let bytes = &self.raw[self.columns[number].clone()];
        (bytes.len() == self.count).then(|| bytes.to_vec())
    }

    fn ends(&self) -> Option<Vec<u32>> {
        let lens = match &self.text {
            Text::Joined { ends, .. } => return Some(ends.clone()),
            Text::Plain { lens, .. } => lens.clone(),
        };
        let mut reading = Reading::new(&self.raw[lens]);
        let text = self.text();
        let mut ends = Vec::with_capacity(self.count);
        let mut start = 0;
        for _ in 0..self.count {
            let end = start + reading.next_len(text.len())?;
            if text.get(end) != Some(&b'\n') {
                return None;
            }
            ends.push(end as u32);
            start = end + 1;
        }
        (reading.is_empty() && start == text.len()).then_some(ends)
    }
}

fn inflate(section: &[u8], magic: [u8; 4]) -> Result<Vec<u8>, BlockError> {
    let (head, body) = section.split_at_checked(SECTION_HEAD).ok_or(BlockError::Magic)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if head[..4] != magic {
        return Err(BlockError::Magic);
    }
    if crc32c::crc32c(body) != word(8) {
        return Err(BlockError::Crc);
    }
    let raw_len = word(4) as usize;
    if raw_len > SECTION_RAW_BYTES_MAX {
        return Err(BlockError::Inflate);
    }
    let raw = zstd::bulk::decompress(body, raw_len).map_err(|_| BlockError::Inflate)?;
    if raw.len() != raw_len {
        return Err(BlockError::Inflate);
    }
    Ok(raw)
}
