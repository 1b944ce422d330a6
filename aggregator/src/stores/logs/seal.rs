//! The seal: sorts the lines of a head into blocks and writes them to the files of their days.
//!
//! Room: `stores/logs`.  May use: `proto`.  Used by: `logs`.
//!
//! Order in a file: program (else unit or path), host, time, then as they came. Lines that are alike
//! stand together: they compress well, and a program's words stay in few blocks.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_proto::clock::Utc;
use muster_proto::ids::StreamId;

use super::block::{BLOCK_LINES_MAX, BLOCK_SOURCES_MAX, BlockWriter, Tables};
use super::bloom::Tokens;
use super::file::{BlockRow, PartWriter, SCHEMA};
use super::head::HeadFrame;
use super::line::{Frames, LineSource, Lines};
use crate::stores::StoreError;
use crate::stores::day::{Day, day_path};
use crate::stores::ledger::Range;
use crate::stores::sqlite;

/// Names in the tables of one block. Bytes. Reaching it ends the block.
const TABLE_TEXT_BYTES: usize = 512 * 1024;
const MINUTE_US: i64 = 60_000_000;

/// Where one line goes and what it stands beside. The order of the fields is the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    file: u32,
    group: u32,
    at: i64,
    frame: u32,
    line: u32,
}

/// The lines of one part, sorted, and the files they go to.
pub(super) struct Sorted {
    files: Vec<(Arc<str>, Day)>,
    places: Vec<Place>,
}

impl Sorted {
    pub(super) fn new(frames: &[Arc<HeadFrame>]) -> Sorted {
        let groups = rank_groups(frames);
        let mut files = Vec::new();
        let mut known: HashMap<(Arc<str>, Day), u32> = HashMap::new();
        let total = frames.iter().map(|frame| frame.lines.len()).sum();
        let mut places: Vec<Place> = Vec::with_capacity(total);
        for (frame_number, frame) in frames.iter().enumerate() {
            let of_source: Vec<u32> = frame.sources.iter().map(|source| groups[source]).collect();
            let mut last: Option<(u32, Day, u32)> = None;
            for (line, (at, source)) in frame.lines.at.iter().zip(&frame.lines.source).enumerate() {
                let day = Day::of(Utc(*at));
                let file = match last {
                    Some((same, today, file)) if same == *source && today == day => file,
                    _ => {
                        let class = &frame.sources[*source as usize].class;
                        *known.entry((Arc::clone(class), day)).or_insert_with(|| {
                            files.push((Arc::clone(class), day));
                            files.len() as u32 - 1
                        })
                    }
                };
                last = Some((*source, day, file));
                let group = of_source[*source as usize];
                let (frame, line) = (frame_number as u32, line as u32);
                places.push(Place { file, group, at: *at, frame, line });
            }
        }
        places.sort_unstable();
        Sorted { files, places }
    }

    pub(super) fn lines(&self) -> u64 {
        self.places.len() as u64
    }

    /// The files with their lines, in an order that does not depend on chance.
    pub(super) fn by_file(&self) -> impl Iterator<Item = SortedFile<'_>> {
        self.places.chunk_by(|a, b| a.file == b.file).map(|places| {
            let (class, day) = &self.files[places[0].file as usize];
            SortedFile { class, day: *day, places }
        })
    }
}

/// Sources in the order of their group; sources of one program and host share a group.
fn rank_groups(frames: &[Arc<HeadFrame>]) -> HashMap<Arc<LineSource>, u32> {
    let mut all: HashMap<Arc<LineSource>, u32> = HashMap::new();
    for source in frames.iter().flat_map(|frame| &frame.sources) {
        all.entry(Arc::clone(source)).or_default();
    }
    let mut order: Vec<_> = all.keys().cloned().collect();
    order.sort_by(|a, b| (a.sort_name(), &a.host).cmp(&(b.sort_name(), &b.host)));
    let mut rank = 0;
    for (number, source) in order.iter().enumerate() {
        if number > 0 {
            let before = &order[number - 1];
            rank +=
                u32::from((before.sort_name(), &before.host) != (source.sort_name(), &source.host));
        }
        all.insert(Arc::clone(source), rank);
    }
    all
}

/// One file's share of a part.
pub(super) struct SortedFile<'a> {
    class: &'a Arc<str>,
    day: Day,
    places: &'a [Place],
}

impl SortedFile<'_> {
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        day_path(&folder.join(&**self.class), self.day)
    }
}

/// Where the blocks of a part are made: compressor, token table, a block that is being filled.
pub(super) struct Sealer {
    blocks: BlockWriter,
    tokens: Tokens,
    block_bytes: usize,
}

/// What a file took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl Sealer {
    pub(super) fn new(level: i32, block_bytes: usize) -> Result<Sealer, StoreError> {
        let blocks = BlockWriter::new(level)
            .map_err(|source| StoreError::Encode { what: "log block", source: source.into() })?;
        Ok(Sealer { blocks, tokens: Tokens::new(), block_bytes })
    }

    /// Writes a part's share of one file in one transaction, or nothing if the file has it.
    ///
    /// # Errors
    /// [`StoreError`]; then the file is as it was.
    pub(super) fn write(
        &mut self,
        path: &Path,
        file: &SortedFile<'_>,
        frames: &[Arc<HeadFrame>],
        (stream, range): (&[u8; 16], Range),
    ) -> Result<Written, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(StoreError::io(folder))?;
        }
        let mut db = sqlite::open_writer(path, &SCHEMA)?;
        let sqlite = || StoreError::sqlite(path);
        let Some(part) = PartWriter::begin(&mut db, stream, range).map_err(sqlite())? else {
            return Ok(Written::default());
        };
        let mut written = Written::default();
        let mut counts: BTreeMap<(i64, u8), u64> = BTreeMap::new();
        let mut rest = file.places;
        while !rest.is_empty() {
            let mut filling = Filling::default();
            let taken = filling.fill(rest, frames, self.block_bytes);
            rest = &rest[taken..];
            let row = self.encode(&filling)?;
            part.block(&row).map_err(sqlite())?;
            filling.count(&mut counts);
            written.lines += row.lines;
            written.bytes += row.bytes();
        }
        for ((minute, severity), lines) in counts {
            part.count(minute, severity, lines).map_err(sqlite())?;
        }
        part.commit().map_err(sqlite())?;
        Ok(written)
    }

    fn encode(&mut self, filling: &Filling) -> Result<BlockRow, StoreError> {
        let failed = |source: std::io::Error| StoreError::Encode {
            what: "log block",
            source: source.into(),
        };
        let each = |token: &[u8]| self.tokens.add_token(token);
        let body = self.blocks.encode_lines(&filling.lines, &filling.text, each).map_err(failed)?;
        Ok(BlockRow {
            first_at: filling.lines.at.iter().copied().min().unwrap_or_default(),
            last_at: filling.lines.at.iter().copied().max().unwrap_or_default(),
            severities: filling
                .lines
                .severity
                .iter()
                .fold(0, |mask, severity| mask | 1 << severity),
            lines: filling.lines.len() as u64,
            raw_bytes: filling.text.len() as u64,
            tables: self.blocks.encode_tables(&filling.tables).map_err(failed)?,
            bloom: self.tokens.finish(),
            body,
        })
    }
}

/// A block that is being filled.
#[derive(Default)]
struct Filling {
    tables: Tables,
    lines: Lines,
    text: Vec<u8>,
}

impl Filling {
    /// Takes lines from the front of `places` until the block is full; returns how many.
    fn fill(&mut self, places: &[Place], frames: &[Arc<HeadFrame>], block_bytes: usize) -> usize {
        let mut sources: HashMap<Arc<LineSource>, u32> = HashMap::new();
        let mut streams: HashMap<StreamId, u32> = HashMap::new();
        let (mut stream_of, mut seq_of) = (Vec::new(), Vec::new());
        let mut names_bytes = 0;
        let mut before: Option<(u32, u32, u32)> = None;
        let mut taken = 0;
        for place in places {
            let group_ends = before.is_some_and(|(_, _, group)| group != place.group);
            let full = self.text.len() >= block_bytes
                || group_ends && self.text.len() >= block_bytes / 4 * 3
                || taken >= BLOCK_LINES_MAX
                || sources.len() >= BLOCK_SOURCES_MAX
                || names_bytes >= TABLE_TEXT_BYTES;
            if full {
                break;
            }
            let frame = &frames[place.frame as usize];
            let line = place.line as usize;
            let local = frame.lines.source[line];
            let source = &frame.sources[local as usize];
            let number = match before {
                Some((same, _, _)) if Arc::ptr_eq(&self.tables.sources[same as usize], source) => {
                    same
                }
                _ => *sources.entry(Arc::clone(source)).or_insert_with(|| {
                    names_bytes += source.name.len() + source.program.len() + 64;
                    self.tables.sources.push(Arc::clone(source));
                    self.tables.sources.len() as u32 - 1
                }),
            };
            let (stream, seq) = frame.lines.frame(line);
            let stream = match before {
                Some((_, same, _)) if self.tables.streams[same as usize] == stream => same,
                _ => *streams.entry(stream).or_insert_with(|| {
                    self.tables.streams.push(stream);
                    self.tables.streams.len() as u32 - 1
                }),
            };
            before = Some((number, stream, place.group));
            stream_of.push(stream);
            seq_of.push(seq.0);
            self.push(frame, line, number);
            taken += 1;
        }
        let streams = self.tables.streams.clone();
        self.lines.frames = Frames::Each { streams, stream: stream_of, seq: seq_of };
        taken
    }

    fn push(&mut self, frame: &HeadFrame, line: usize, source: u32) {
        self.lines.at.push(frame.lines.at[line]);
        self.lines.source.push(source);
        self.lines.severity.push(frame.lines.severity[line]);
        self.lines.flags.push(frame.lines.flags[line]);
        self.lines.index.push(frame.lines.index[line]);
        self.text.extend_from_slice(&frame.text[frame.lines.span(line)]);
        self.lines.ends.push(self.text.len() as u32);
        self.text.push(b'\n');
    }

    fn count(&self, counts: &mut BTreeMap<(i64, u8), u64>) {
        for (at, severity) in self.lines.at.iter().zip(&self.lines.severity) {
            *counts.entry((at.div_euclid(MINUTE_US), *severity)).or_default() += 1;
        }
    }
}
