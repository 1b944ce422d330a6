//! The search: goes through blocks from one end of time and gives out lines in exact order.
//!
//! Room: `stores/logs`.  May use: `proto`.  Used by: `logs`.
//!
//! Blocks and head frames are *units* with a first and a last time. Units are visited by the end
//! that matters (their *rank*: last time, or minus first time for the oldest first), so a found line
//! is final as soon as its rank is beyond that of the next unit. Lines that are not final wait in a
//! sorted map, which also drops repeats and what the limit makes superfluous.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use muster_proto::clock::Utc;

use super::block::{parse_lines, parse_tables};
use super::bloom::may_contain;
use super::file::{Blob, BlockFacts, DayReader, Horizon, Walk};
use super::head::HeadFrame;
use super::line::{LineKey, LineSource, Lines, LogHit};
use super::query::{Order, Plan};
use crate::stores::day::Day;
use crate::stores::sqlite;

/// Blocks of one file whose index is read at a time.
const INDEX_ROWS: usize = 256;
/// What a waiting line costs beside its text. Bytes.
const HIT_COST_BYTES: u64 = 160;

/// Why a search ended before everything was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncated {
    /// The budget of bytes to look through is spent.
    Bytes,
    /// The budget of memory for found lines is spent.
    Memory,
    /// Time is up.
    Deadline,
    /// Nobody wants the answer any more.
    Cancelled,
}

/// What a search may cost.
pub struct Budget<'a> {
    /// Text to look through, decompressed. Bytes.
    pub scan_bytes_max: u64,
    /// Found lines that wait for their turn. Bytes.
    pub memory_bytes_max: u64,
    /// Asked before each block, about every millisecond: go on, or stop and why.
    pub stop: &'a dyn Fn() -> Option<Truncated>,
}

/// How a search ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchEnd {
    /// Lines given out.
    pub hits: u64,
    /// Text looked through. Bytes.
    pub scanned_bytes: u64,
    /// Blocks and head frames whose text was looked through.
    pub scanned_blocks: u64,
    /// Blocks that their index, tables or bloom ruled out.
    pub skipped_blocks: u64,
    /// Why not everything was looked at; `None` also when the limit was reached.
    pub truncated: Option<Truncated>,
    /// The limit was reached: there may be more.
    pub limited: bool,
    /// When truncated: lines on this side of the moment are complete, beyond it some may miss.
    pub complete_to: Option<Utc>,
    /// Files and blocks that could not be read, with the reason. Their lines are missing.
    pub damaged: Vec<(PathBuf, String)>,
}

/// One day file to look into.
pub(super) struct DayPath {
    pub(super) day: Day,
    pub(super) class: Arc<str>,
    pub(super) path: PathBuf,
}

/// Everything a search looks at, as it was at one moment.
pub(super) struct Snapshot {
    pub(super) head: Vec<Arc<HeadFrame>>,
    pub(super) horizon: Horizon,
    pub(super) files: Vec<DayPath>,
}

struct OpenFile {
    reader: DayReader,
    class: Arc<str>,
    path: PathBuf,
    queue: VecDeque<BlockFacts>,
    after: Option<(i64, i64)>,
    ended: bool,
}

enum Unit {
    Head(Arc<HeadFrame>),
    Block(usize, BlockFacts),
}

/// One search under way.
pub(super) struct Search<'a> {
    plan: &'a Plan,
    horizon: Horizon,
    /// Worst rank first, so that the best is popped from the end.
    head: Vec<Arc<HeadFrame>>,
    /// Worst day first.
    days: Vec<DayPath>,
    open: Vec<OpenFile>,
    waiting: BTreeMap<LineKey, LogHit>,
    waiting_bytes: u64,
    end: SearchEnd,
}

impl<'a> Search<'a> {
    pub(super) fn new(plan: &'a Plan, snapshot: Snapshot) -> Search<'a> {
        let rank = |first: i64, last: i64| rank(plan.order, first, last);
        let mut head = snapshot.head;
        head.retain(|frame| frame.last_at >= plan.since && frame.first_at < plan.until);
        head.sort_by_key(|frame| rank(frame.first_at, frame.last_at));
        let mut days = snapshot.files;
        days.retain(|file| file.day.end().0 >= plan.since && file.day.start().0 < plan.until);
        days.sort_by_key(|file| rank(file.day.start().0, file.day.end().0));
        Search {
            plan,
            horizon: snapshot.horizon,
            head,
            days,
            open: Vec::new(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            end: SearchEnd::default(),
        }
    }

    /// Runs to the end, the limit, the budget, or until `out` breaks.
    pub(super) fn run(
        mut self,
        budget: &Budget<'_>,
        out: &mut dyn FnMut(LogHit) -> ControlFlow<()>,
    ) -> SearchEnd {
        while let Some((rank, unit)) = self.next_unit() {
            if self.give_out(Some(rank), out).is_break() || self.is_satisfied(rank) {
                break;
            }
            if let Some(why) = self.over_budget(budget) {
                self.end.truncated = Some(why);
                let at = if self.plan.order == Order::Newest { rank } else { -rank };
                self.end.complete_to = Some(Utc(at));
                break;
            }
            match unit {
                Unit::Head(frame) => self.scan_head(&frame),
                Unit::Block(file, block) => self.scan_block(file, &block),
            }
        }
        if self.end.truncated != Some(Truncated::Cancelled) {
            let _ = self.give_out(None, out);
        }
        self.end.limited = self.end.hits >= self.plan.limit as u64;
        self.end
    }

    fn over_budget(&self, budget: &Budget<'_>) -> Option<Truncated> {
        if self.end.scanned_bytes >= budget.scan_bytes_max {
            return Some(Truncated::Bytes);
        }
        if self.waiting_bytes > budget.memory_bytes_max {
            return Some(Truncated::Memory);
        }
        (budget.stop)()
    }

    fn left(&self) -> usize {
        self.plan.limit.saturating_sub(self.end.hits as usize)
    }

    /// True when no unit of this rank or a worse one can change the answer.
    fn is_satisfied(&self, next: i64) -> bool {
        self.left() == 0
            || self.waiting.len() >= self.left() && self.worst().is_some_and(|worst| worst > next)
    }

    /// Rank of the worst line that waits.
    fn worst(&self) -> Option<i64> {
        match self.plan.order {
            Order::Newest => self.waiting.first_key_value().map(|(key, _)| key.at.0),
            Order::Oldest => self.waiting.last_key_value().map(|(key, _)| -key.at.0),
        }
    }

    /// Gives out the waiting lines whose rank is beyond `rank`; all of them for `None`.
    fn give_out(
        &mut self,
        rank: Option<i64>,
        out: &mut dyn FnMut(LogHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        while self.left() > 0 {
            let best = match self.plan.order {
                Order::Newest => self.waiting.last_entry(),
                Order::Oldest => self.waiting.first_entry(),
            };
            let Some(best) = best else { break };
            let at =
                if self.plan.order == Order::Newest { best.key().at.0 } else { -best.key().at.0 };
            if rank.is_some_and(|rank| at <= rank) {
                break;
            }
            let hit = best.remove();
            self.waiting_bytes -= hit.text.len() as u64 + HIT_COST_BYTES;
            self.end.hits += 1;
            if out(hit).is_break() {
                self.waiting.clear();
                return ControlFlow::Break(());
            }
        }
        if self.left() == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn next_unit(&mut self) -> Option<(i64, Unit)> {
        let order = self.plan.order;
        loop {
            let mut best: Option<(i64, Option<usize>)> =
                self.head.last().map(|frame| (rank(order, frame.first_at, frame.last_at), None));
            for number in 0..self.open.len() {
                self.refill(number);
                if let Some(block) = self.open[number].queue.front() {
                    let of_block = rank(order, block.first_at, block.last_at);
                    if best.is_none_or(|(of_best, _)| of_block > of_best) {
                        best = Some((of_block, Some(number)));
                    }
                }
            }
            if let Some(file) = self.days.last() {
                let of_day = rank(order, file.day.start().0, file.day.end().0);
                if best.is_none_or(|(of_best, _)| of_day >= of_best) {
                    self.open_day();
                    continue;
                }
            }
            return match best? {
                (rank, None) => self.head.pop().map(|frame| (rank, Unit::Head(frame))),
                (rank, Some(number)) => {
                    let block = self.open[number].queue.pop_front()?;
                    Some((rank, Unit::Block(number, block)))
                }
            };
        }
    }

    fn open_day(&mut self) {
        let Some(DayPath { class, path, .. }) = self.days.pop() else { return };
        match DayReader::open(&path, &self.horizon) {
            Ok(reader) => {
                let (queue, after, ended) = (VecDeque::new(), None, false);
                self.open.push(OpenFile { reader, class, path, queue, after, ended });
            }
            // Retention was faster.
            Err(error) if sqlite::is_absent(&error) && !path.exists() => {}
            Err(error) => self.end.damaged.push((path, chain(&error))),
        }
    }

    fn refill(&mut self, number: usize) {
        let plan = self.plan;
        let file = &mut self.open[number];
        while file.queue.is_empty() && !file.ended {
            let newest_first = plan.order == Order::Newest;
            let walk = Walk { since: plan.since, until: plan.until, newest_first };
            match file.reader.blocks(&walk, file.after, INDEX_ROWS) {
                Ok(blocks) => {
                    file.ended = blocks.len() < INDEX_ROWS;
                    if let Some(last) = blocks.last() {
                        let at = if newest_first { last.last_at } else { last.first_at };
                        file.after = Some((at, last.id));
                    }
                    file.queue.extend(blocks.into_iter().filter(|b| file.reader.is_visible(b)));
                }
                Err(error) => {
                    file.ended = true;
                    self.end.damaged.push((file.path.clone(), chain(&error)));
                }
            }
        }
    }

    fn scan_head(&mut self, frame: &HeadFrame) {
        let wanted: Vec<bool> =
            frame.sources.iter().map(|source| self.plan.wants_source(source)).collect();
        if !wanted.contains(&true) {
            return;
        }
        self.end.scanned_blocks += 1;
        self.end.scanned_bytes += frame.text.len() as u64;
        self.scan(&frame.lines, &frame.text, &frame.sources, &wanted);
    }

    fn scan_block(&mut self, number: usize, block: &BlockFacts) {
        match self.read_block(number, block) {
            Ok(true) => self.end.scanned_blocks += 1,
            Ok(false) => self.end.skipped_blocks += 1,
            Err(why) => {
                let path = self.open[number].path.clone();
                self.end.damaged.push((path, format!("block {}: {why}", block.id)));
            }
        }
    }

    /// False when the block was ruled out without its lines.
    fn read_block(
        &mut self,
        number: usize,
        block: &BlockFacts,
    ) -> Result<bool, Box<dyn std::error::Error>> {
        if block.severities & self.plan.severities == 0 {
            return Ok(false);
        }
        let file = &self.open[number];
        if !self.plan.tokens.is_empty() {
            let bloom = file.reader.blob(block.id, Blob::Bloom)?;
            if !self.plan.tokens.iter().all(|token| may_contain(&bloom, *token)) {
                return Ok(false);
            }
        }
        let read_tables = || -> Result<_, Box<dyn std::error::Error>> {
            Ok(parse_tables(&file.reader.blob(block.id, Blob::Tables)?, &file.class)?)
        };
        let mut tables = None;
        if self.plan.has_source_filter() {
            let read = read_tables()?;
            if !read.sources.iter().any(|source| self.plan.wants_source(source)) {
                return Ok(false);
            }
            tables = Some(read);
        }
        let raw = parse_lines(&file.reader.blob(block.id, Blob::Body)?)?;
        self.end.scanned_bytes += raw.text().len() as u64;
        if self.plan.candidate(raw.text(), 0).is_none() {
            return Ok(true);
        }
        let tables = tables.map_or_else(read_tables, Ok)?;
        let lines = raw.lines(&tables)?;
        let wanted: Vec<bool> =
            tables.sources.iter().map(|source| self.plan.wants_source(source)).collect();
        self.scan(&lines, raw.text(), &tables.sources, &wanted);
        Ok(true)
    }

    fn scan(&mut self, lines: &Lines, text: &[u8], sources: &[Arc<LineSource>], wanted: &[bool]) {
        let plan = self.plan;
        let mut from = 0;
        let mut line = 0;
        while line < lines.len() {
            if plan.has_text_filter() {
                let Some(place) = plan.candidate(text, from) else { break };
                line = lines.line_at(place);
                if line >= lines.len() {
                    break;
                }
            }
            from = lines.ends[line] as usize + 1;
            let source = lines.source[line] as usize;
            if wanted[source]
                && plan.severities & (1 << lines.severity[line]) != 0
                && plan.wants_time(lines.at[line])
                && self.has_room_for(lines.at[line])
                && plan.wants_text(&text[lines.span(line)])
            {
                self.keep(lines, line, text, &sources[source]);
            }
            line += 1;
        }
    }

    /// False when so many better lines wait that one of this time would be dropped again.
    fn has_room_for(&self, at: i64) -> bool {
        let rank = if self.plan.order == Order::Newest { at } else { -at };
        self.waiting.len() < self.left() || self.worst().is_none_or(|worst| rank >= worst)
    }

    fn keep(&mut self, lines: &Lines, line: usize, text: &[u8], source: &Arc<LineSource>) {
        let (stream, seq) = lines.frame(line);
        let key = LineKey {
            at: Utc(lines.at[line]),
            host: Arc::clone(&source.host),
            stream,
            seq,
            index: lines.index[line],
        };
        let follows = self.plan.after.as_ref().is_none_or(|after| match self.plan.order {
            Order::Newest => key < *after,
            Order::Oldest => key > *after,
        });
        if !follows || self.waiting.contains_key(&key) {
            return;
        }
        let text = text[lines.span(line)].to_vec();
        self.waiting_bytes += text.len() as u64 + HIT_COST_BYTES;
        let hit = LogHit {
            at: key.at,
            source: Arc::clone(source),
            severity: lines.severity(line),
            flags: lines.flags[line],
            stream,
            seq,
            index: key.index,
            text,
        };
        self.waiting.insert(key, hit);
        if self.waiting.len() > self.left() {
            let dropped = match self.plan.order {
                Order::Newest => self.waiting.pop_first(),
                Order::Oldest => self.waiting.pop_last(),
            };
            let bytes = dropped.map_or(0, |(_, hit)| hit.text.len() as u64 + HIT_COST_BYTES);
            self.waiting_bytes -= bytes;
        }
    }
}

/// The end of a unit that the order looks at; greater comes first.
fn rank(order: Order, first: i64, last: i64) -> i64 {
    match order {
        Order::Newest => last,
        Order::Oldest => first.saturating_neg(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
