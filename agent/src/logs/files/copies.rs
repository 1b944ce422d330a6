//! Copies of known files: what copytruncate leaves behind.
//!
//! `cp x x.1; : > x` makes a new inode with old lines. A file whose name looks rotated is compared
//! with the file it may come from. If it holds the same bytes up to where that one was read before
//! it was truncated, it is its continuation, and is read from there: nothing twice, and not even the
//! lines between our last read and the truncation are lost.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::file::{continues, open, position_at};
use super::super::limits::COPY_WAIT;
use super::super::stats::add;
use super::super::tail::{FileKey, Position, names_before_rotation};
use super::{Files, Now, Tailed};

/// What comparing a file with the one it may come from says.
#[derive(Debug, Clone, Copy)]
enum Likeness {
    /// It continues that file behind this position.
    Continues(Position),
    /// It has the same bytes as that file, which is still there, untruncated.
    Same,
    /// The file it may come from has not been looked at itself.
    Later,
    /// It is as yet too short to say.
    Growing,
    /// It is another file.
    Other,
}

impl Files {
    /// True when a known file may be the original of this one.
    pub(super) fn may_be_copy(&self, tailed: &Tailed) -> bool {
        self.original(&tailed.path).is_some_and(|original| {
            original.key != tailed.key
                && (original.position.offset > 0 || original.former.is_some() || original.queued)
        })
    }

    fn original(&self, path: &Path) -> Option<&Tailed> {
        let name = path.file_name()?.to_string_lossy();
        names_before_rotation(&name).iter().find_map(|name| {
            let key = self.by_path.get(&path.with_file_name(name))?;
            self.known.get(key).filter(|original| !original.rotated)
        })
    }

    /// Looks again at a file that may be a copy. `true` while it cannot be told.
    pub(super) fn is_copy_pending(&mut self, key: FileKey, now: Now) -> bool {
        let Some(since) = self.known.get(&key).and_then(|tailed| tailed.copy_since) else {
            return false;
        };
        let late = now.mono.since(since) > COPY_WAIT;
        let adopted = match self.likeness(key) {
            Likeness::Later => return true,
            Likeness::Growing | Likeness::Same if !late => return true,
            Likeness::Continues(position) => Some(position),
            Likeness::Same => self.end_of_copy(key),
            Likeness::Growing | Likeness::Other => None,
        };
        let Some(tailed) = self.known.get_mut(&key) else { return false };
        tailed.copy_since = None;
        if let Some(position) = adopted {
            tailed.position = position;
            tailed.rotated = true;
            add(&self.stats.copies, 1);
            self.touch(key);
            self.urgent = true;
            self.settling.push(key);
        }
        self.queue(key);
        false
    }

    fn likeness(&self, key: FileKey) -> Likeness {
        let Some(tailed) = self.known.get(&key) else { return Likeness::Other };
        let Some(original) = self.original(&tailed.path) else { return Likeness::Other };
        if original.queued || original.unproven {
            return Likeness::Later;
        }
        let Ok((file, facts)) = open(&tailed.path) else { return Likeness::Other };
        let compare = |position: &Position| {
            if facts.size < position.offset {
                let head = Position { offset: 0, tail: Default::default(), ..*position };
                let begins = u64::from(position.head.len) > facts.size
                    || continues(&file, &head).unwrap_or(false);
                if begins { Likeness::Growing } else { Likeness::Other }
            } else if position.offset > 0 && continues(&file, position).unwrap_or(false) {
                Likeness::Same
            } else {
                Likeness::Other
            }
        };
        let former = original.former.map(|former| (former, compare(&former)));
        match former {
            Some((former, Likeness::Same)) => Likeness::Continues(former),
            Some((_, Likeness::Growing)) => Likeness::Growing,
            _ => compare(&original.position),
        }
    }

    /// The end of a copy whose original goes on: all its lines are read there.
    fn end_of_copy(&self, key: FileKey) -> Option<Position> {
        let tailed = self.known.get(&key)?;
        let original = self.original(&tailed.path)?;
        let (copy, facts) = open(&tailed.path).ok()?;
        let end = position_at(&copy, facts.size).ok()??;
        let (file, _) = open(&original.path).ok()?;
        let covered = continues(&file, &end).unwrap_or(false);
        Some(if covered { end } else { original.position })
    }

    /// After a truncation: is the rest of the old lines in a sibling that no glob names?
    pub(super) fn find_copies(&mut self, now: Now) {
        for key in std::mem::take(&mut self.truncated) {
            let Some(tailed) = self.known.get(&key) else { continue };
            let Some(former) = tailed.former else { continue };
            let (spec, source, path) = (tailed.spec, tailed.source.clone(), tailed.path.clone());
            let mut dirs: Vec<PathBuf> = path.parent().map(Path::to_owned).into_iter().collect();
            dirs.extend(self.sources.get(spec).into_iter().flat_map(|s| s.rotated_dirs.clone()));
            let name = path.file_name().map(OsString::from).unwrap_or_default();
            for sibling in siblings(&dirs, &name.to_string_lossy()) {
                if self.globs.is_excluded(spec, &sibling) || self.by_path.contains_key(&sibling) {
                    continue;
                }
                let Ok((file, facts)) = open(&sibling) else { continue };
                let taken = self.known.contains_key(&facts.key)
                    || self.parked.contains_key(&facts.key)
                    || facts.size <= former.offset;
                if taken || !continues(&file, &former).unwrap_or(false) {
                    continue;
                }
                let mut copy = Tailed::new(spec, source.clone(), sibling, facts, now.mono);
                copy.position = former;
                copy.rotated = true;
                add(&self.stats.copies, 1);
                self.take_in(facts.key, copy);
                break;
            }
        }
    }
}

/// Files in `dirs` whose name looks like a rotation of `name`.
fn siblings(dirs: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in dirs.iter().flat_map(std::fs::read_dir).flatten().flatten() {
        let other = entry.file_name();
        if names_before_rotation(&other.to_string_lossy()).iter().any(|before| before == name) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
