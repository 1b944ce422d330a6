//! All files that are looked after: whose turn it is, what is open, what is finished.

mod copies;
mod finish;
mod scan;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use muster_proto::clock::{Mono, Utc};
use muster_proto::log::{LogBlock, LogSource, SourceKind};

use super::checkpoint::{Checkpoints, Saved, encode_key, encode_value};
use super::file::{Facts, Gain, Into, Turn, continues, open, read_turn};
use super::limits::{BUSY_KEEP, DELETED_OPEN_MAX, FILES_OPEN_MAX};
use super::reader::Note;
use super::settings::{FileSource, LogSettings, SettingsError};
use super::stats::{LogStats, add};
use super::tail::{FileKey, Position};
use super::walk::Globs;

/// This moment, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) mono: Mono,
    pub(super) utc: Utc,
}

/// One file that is looked after.
#[derive(Debug)]
struct Tailed {
    key: FileKey,
    spec: usize,
    source: LogSource,
    path: PathBuf,
    birth: i64,
    position: Position,
    former: Option<Position>,
    /// It has been renamed, or found as the remainder of another file.
    rotated: bool,
    /// No path leads to it any more; only the open file does.
    deleted: bool,
    /// Its position comes from a checkpoint and was not compared yet.
    unproven: bool,
    /// It may be a copy of another file, since then.
    copy_since: Option<Mono>,
    file: Option<File>,
    facts: Option<Facts>,
    grown: Mono,
    queued: bool,
    touched: bool,
    partial: bool,
    missed: u8,
}

/// A file that is gone, or was rotated long ago.
#[derive(Debug)]
struct Parked {
    saved: Saved,
    since: Mono,
}

/// All files of all sources.
pub(super) struct Files {
    sources: Vec<FileSource>,
    globs: Globs,
    known: HashMap<FileKey, Tailed>,
    by_path: HashMap<PathBuf, FileKey>,
    parked: HashMap<FileKey, Parked>,
    ready: VecDeque<FileKey>,
    opened: VecDeque<FileKey>,
    /// Rotated or deleted: looked at again until they are finished.
    settling: Vec<FileKey>,
    /// Perhaps copies of other files: looked at again until that is known.
    copies: Vec<FileKey>,
    settled: Mono,
    touched: Vec<FileKey>,
    forgotten: Vec<FileKey>,
    truncated: Vec<FileKey>,
    /// Notes must not wait for lines: a copy was recognised, and its original will forget it.
    urgent: bool,
    /// Something is not where it was: the globs must be walked again.
    astray: bool,
    scanned: bool,
    /// Nothing was ever read before this process.
    newborn: bool,
    stats: Arc<LogStats>,
}

impl Files {
    /// Knows the checkpoints, has looked at nothing yet.
    pub(super) fn new(
        settings: &LogSettings,
        checkpoints: &mut Checkpoints,
        stats: Arc<LogStats>,
        now: Mono,
    ) -> Result<Files, SettingsError> {
        let newborn = checkpoints.is_empty() && checkpoints.damaged == 0;
        let saved = std::mem::take(&mut checkpoints.files).into_iter();
        Ok(Files {
            sources: settings.files.clone(),
            globs: Globs::new(&settings.files)?,
            known: HashMap::new(),
            by_path: HashMap::new(),
            parked: saved.map(|(key, saved)| (key, Parked { saved, since: now })).collect(),
            ready: VecDeque::new(),
            opened: VecDeque::new(),
            settling: Vec::new(),
            copies: Vec::new(),
            settled: now,
            touched: Vec::new(),
            forgotten: Vec::new(),
            truncated: Vec::new(),
            urgent: false,
            astray: true,
            scanned: false,
            newborn,
            stats,
        })
    }

    /// The file at `path` was written to.
    pub(super) fn written(&mut self, path: &Path) {
        if let Some(key) = self.by_path.get(path) {
            let key = *key;
            self.queue(key);
        }
    }

    /// Files in `dir` may have been written to: those that grew lately. The scan finds the others.
    pub(super) fn look_into(&mut self, dir: &Path, now: Mono) {
        let inside = self.known.values().filter(|tailed| {
            now.since(tailed.grown) < BUSY_KEEP && tailed.path.parent() == Some(dir)
        });
        let keys: Vec<FileKey> = inside.map(|tailed| tailed.key).collect();
        keys.into_iter().for_each(|key| self.queue(key));
    }

    /// True when the globs should be walked now.
    pub(super) fn is_astray(&self) -> bool {
        self.astray
    }

    /// True when a file waits for its turn.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// True when files are on their way out and must be looked at without an event.
    pub(super) fn is_settling(&self) -> bool {
        !self.settling.is_empty() || !self.copies.is_empty() || !self.opened.is_empty()
    }

    fn queue(&mut self, key: FileKey) {
        if let Some(tailed) = self.known.get_mut(&key)
            && !tailed.queued
            && tailed.copy_since.is_none()
        {
            tailed.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Gives the next file its turn. `None` when none waits, `Some(false)` when the block is full.
    pub(super) fn turn(&mut self, block: &mut LogBlock, now: Now) -> Option<bool> {
        if block.is_full() {
            return Some(false);
        }
        let key = self.ready.pop_front()?;
        let Some(tailed) = self.known.get_mut(&key) else { return Some(true) };
        tailed.queued = false;
        if let Err(error) = self.ensure_open(key, now) {
            self.is_unreadable(key, &error);
            return Some(true);
        }
        let Some(tailed) = self.known.get_mut(&key) else { return Some(true) };
        let mut gain = Gain::default();
        let turn = tailed.read(block, now.utc, &mut gain);
        self.count(gain);
        match turn {
            Ok(turn) => self.after_turn(key, turn, gain, now),
            Err(error) => {
                if let Some(tailed) = self.known.get_mut(&key) {
                    tailed.file = None;
                }
                self.opened.retain(|opened| *opened != key);
                self.is_unreadable(key, &error);
                Some(true)
            }
        }
    }

    fn after_turn(&mut self, key: FileKey, turn: Turn, gain: Gain, now: Now) -> Option<bool> {
        let tailed = self.known.get_mut(&key)?;
        if gain.lines > 0 || gain.nul_bytes > 0 {
            tailed.grown = now.mono;
        }
        if gain.lines > 0 {
            self.touch(key);
        }
        let tailed = self.known.get_mut(&key)?;
        match turn {
            Turn::AtEnd { partial } => tailed.partial = partial,
            Turn::More | Turn::Full => self.queue(key),
            Turn::Rewritten => {
                tracing::info!(path = %tailed.path.display(), "Log file was truncated.");
                tailed.former = (tailed.position.offset > 0).then_some(tailed.position);
                tailed.position = Position::default();
                add(&self.stats.truncations, 1);
                self.truncated.push(key);
                self.astray = true;
                self.queue(key);
            }
        }
        Some(turn != Turn::Full)
    }

    fn count(&self, gain: Gain) {
        add(&self.stats.lines, gain.lines);
        add(&self.stats.bytes, gain.bytes);
        add(&self.stats.cut_lines, gain.cut);
        add(&self.stats.nul_bytes, gain.nul_bytes);
    }

    fn touch(&mut self, key: FileKey) {
        if let Some(tailed) = self.known.get_mut(&key)
            && !tailed.touched
        {
            tailed.touched = true;
            self.touched.push(key);
        }
    }

    fn is_unreadable(&mut self, key: FileKey, error: &io::Error) {
        let Some(tailed) = self.known.get(&key) else { return };
        if error.kind() == io::ErrorKind::NotFound {
            self.astray = true;
        } else {
            self.stats.is_unreadable(&tailed.path, error);
        }
    }

    /// Opens the file by its path unless it is open. Not finding it there is `NotFound`.
    fn ensure_open(&mut self, key: FileKey, now: Now) -> io::Result<()> {
        let Some(tailed) = self.known.get_mut(&key) else { return Ok(()) };
        if tailed.file.is_some() {
            return Ok(());
        }
        let (file, facts) = open(&tailed.path)?;
        if facts.key != key {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.stats.is_readable(&tailed.path);
        tailed.file = Some(file);
        tailed.grown = now.mono;
        self.opened.push_back(key);
        self.close_surplus(key, now.mono);
        Ok(())
    }

    /// Closes what was opened first, until no more than the limit is open.
    fn close_surplus(&mut self, keep: FileKey, now: Mono) {
        for _ in 0..self.opened.len() {
            if self.opened.len() <= FILES_OPEN_MAX {
                break;
            }
            let Some(key) = self.opened.pop_front() else { break };
            match self.known.get_mut(&key) {
                Some(tailed) if tailed.deleted || key == keep => self.opened.push_back(key),
                Some(tailed) => tailed.file = None,
                None => {}
            }
            if self.opened.len() > FILES_OPEN_MAX + DELETED_OPEN_MAX
                && let Some(oldest) = self.opened.pop_front()
            {
                self.park(oldest, now);
            }
        }
        self.stats.files_open.store(self.opened.len() as u64, Relaxed);
    }

    /// A file that nobody will be able to read any more.
    fn give_up(&mut self, key: FileKey) {
        let Some(tailed) = self.known.get(&key) else { return };
        let opened = tailed.file.as_ref().and_then(|file| file.metadata().ok());
        let size = opened.map(|meta| meta.len()).or(tailed.facts.map(|facts| facts.size));
        let lost = size.unwrap_or(0).saturating_sub(tailed.position.offset);
        if lost > 0 && tailed.copy_since.is_none() {
            tracing::error!(path = %tailed.path.display(), bytes = lost, "Log file vanished unread.");
            add(&self.stats.lost_files, 1);
            add(&self.stats.lost_bytes, lost);
        }
    }

    /// Tells how much of each file is not read yet, by what the last scan saw of it.
    pub(super) fn tell_behind(&self) {
        let behind = self.known.values().filter_map(|tailed| {
            let bytes = tailed.facts?.size.saturating_sub(tailed.position.offset);
            (bytes > 0 && tailed.copy_since.is_none()).then(|| (tailed.path.clone(), bytes))
        });
        self.stats.tell_behind(behind.collect());
    }

    /// Looks at the sizes of all known files: while nothing can be read, nothing scans either.
    pub(super) fn look_at_sizes(&mut self) {
        for tailed in self.known.values_mut() {
            let meta = match &tailed.file {
                Some(file) => file.metadata(),
                None => std::fs::metadata(&tailed.path),
            };
            if let Some(facts) = meta.ok().map(|meta| Facts::of(&meta))
                && facts.key == tailed.key
            {
                tailed.facts = Some(facts);
            }
        }
    }

    /// True when the notes must be handed out even if there is no line.
    pub(super) fn has_urgent_notes(&self) -> bool {
        self.urgent
    }

    /// The notes that belong to all lines handed out so far.
    pub(super) fn notes(&mut self) -> Vec<Note> {
        self.urgent = false;
        let mut notes = Vec::new();
        let mut told = HashSet::new();
        for key in std::mem::take(&mut self.touched) {
            let saved = match (self.known.get_mut(&key), self.parked.get(&key)) {
                (Some(tailed), _) => {
                    tailed.touched = false;
                    tailed.saved()
                }
                (None, Some(parked)) => parked.saved.clone(),
                (None, None) => continue,
            };
            told.insert(key);
            notes.push((encode_key(key), Some(encode_value(&saved))));
        }
        for key in std::mem::take(&mut self.forgotten) {
            let back = self.known.contains_key(&key) || self.parked.contains_key(&key);
            if !back && told.insert(key) {
                notes.push((encode_key(key), None));
            }
        }
        notes
    }
}

impl Tailed {
    fn new(spec: usize, source: LogSource, path: PathBuf, facts: Facts, now: Mono) -> Tailed {
        Tailed {
            key: facts.key,
            spec,
            source,
            path,
            birth: facts.birth,
            position: Position::default(),
            former: None,
            rotated: false,
            deleted: false,
            unproven: false,
            copy_since: None,
            file: None,
            facts: Some(facts),
            grown: now,
            queued: false,
            touched: false,
            partial: false,
            missed: 0,
        }
    }

    fn read(&mut self, block: &mut LogBlock, at: Utc, gain: &mut Gain) -> io::Result<Turn> {
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        if self.unproven {
            if !continues(file, &self.position)? {
                self.unproven = false;
                return Ok(Turn::Rewritten);
            }
            self.unproven = false;
        }
        let mut into = Into { block, source: &self.source, at };
        read_turn(file, &mut self.position, &mut into, gain)
    }

    fn saved(&self) -> Saved {
        Saved {
            birth: self.birth,
            position: self.position,
            former: self.former,
            rotated: self.rotated,
            name: self.source.name.clone(),
            path: self.path.clone(),
        }
    }
}

fn source_of(spec: &FileSource, name: String) -> LogSource {
    LogSource {
        kind: SourceKind::File,
        name,
        program: spec.program.clone(),
        class: spec.class.clone(),
    }
}
