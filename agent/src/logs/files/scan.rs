//! What the globs find, against what is known: new, renamed, deleted and returned files.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use super::super::checkpoint::Saved;
use super::super::file::{Facts, open, position_at};
use super::super::limits::WALK_ENTRIES_MAX;
use super::super::settings::Start;
use super::super::stats::add;
use super::super::tail::{FileKey, names_before_rotation};
use super::super::walk::{Found, Walked};
use super::{Files, Now, Tailed, source_of};

impl Files {
    /// Walks the globs and brings everything up to date. The answer's directories are worth watching.
    pub(in super::super) fn scan(&mut self, now: Now) -> Walked {
        self.astray = false;
        add(&self.stats.scans, 1);
        let mut walked = self.globs.walk();
        for dir in &walked.dirs {
            self.stats.is_readable(dir);
        }
        for (path, why) in &walked.unreadable {
            self.stats.is_unreadable(path, why);
        }
        let (seen, fresh) = self.match_known(&walked.files);
        self.find_missing(&seen);
        self.place_all(fresh, now);
        if !self.scanned {
            self.find_parked(now);
            // The process may have died between the truncation and the end of the copy.
            let cut = self.known.values().filter(|tailed| tailed.former.is_some());
            self.truncated.extend(cut.map(|tailed| tailed.key));
            self.scanned = true;
        }
        self.find_copies(now);
        self.expire(now.mono);
        for tailed in self.known.values().filter(|tailed| !tailed.deleted) {
            if let Some(dir) = tailed.path.parent()
                && !walked.dirs.contains(dir)
            {
                walked.dirs.insert(dir.to_owned());
            }
        }
        self.stats.files_known.store(self.known.len() as u64, Relaxed);
        walked
    }

    /// Updates known files; gives the keys that were seen and the files that are new.
    fn match_known(&mut self, found: &[Found]) -> (HashSet<FileKey>, Vec<Found>) {
        let paths: HashMap<&Path, FileKey> =
            found.iter().map(|found| (found.path.as_path(), found.facts.key)).collect();
        let mut seen = HashSet::new();
        let mut fresh = Vec::new();
        for file in found {
            let key = file.facts.key;
            if !seen.insert(key) {
                continue;
            }
            let Some(tailed) = self.known.get_mut(&key) else {
                fresh.push(file.clone());
                continue;
            };
            let still_there = paths.get(tailed.path.as_path()) == Some(&key);
            if !still_there && tailed.path != file.path {
                self.moved(key, file.path.clone());
            }
            self.observed(key, file.facts);
        }
        (seen, fresh)
    }

    fn moved(&mut self, key: FileKey, path: PathBuf) {
        let Some(tailed) = self.known.get_mut(&key) else { return };
        if self.by_path.get(&tailed.path) == Some(&key) {
            self.by_path.remove(&tailed.path);
        }
        self.by_path.insert(path.clone(), key);
        tailed.path = path;
        if !tailed.rotated {
            tailed.rotated = true;
            self.settling.push(key);
        }
    }

    fn observed(&mut self, key: FileKey, facts: Facts) {
        let Some(tailed) = self.known.get_mut(&key) else { return };
        let changed = tailed.facts != Some(facts);
        tailed.facts = Some(facts);
        tailed.deleted = false;
        tailed.missed = 0;
        self.by_path.entry(tailed.path.clone()).or_insert(key);
        if changed {
            self.queue(key);
        }
    }

    /// Known files that no glob named: still at their path, renamed, or deleted.
    fn find_missing(&mut self, seen: &HashSet<FileKey>) {
        let mut wanted = HashMap::new();
        let absent: Vec<FileKey> = self
            .known
            .values()
            .filter(|tailed| !seen.contains(&tailed.key) && !tailed.deleted)
            .map(|tailed| tailed.key)
            .collect();
        for key in absent {
            let Some(tailed) = self.known.get(&key) else { continue };
            let here = std::fs::metadata(&tailed.path).map(|meta| Facts::of(&meta));
            match here {
                Ok(facts) if facts.key == key => self.observed(key, facts),
                _ => drop(wanted.insert(key, (tailed.spec, tailed.path.clone()))),
            }
        }
        let found = self.search(&wanted);
        for key in wanted.into_keys() {
            match found.get(&key) {
                Some((path, facts)) => {
                    self.moved(key, path.clone());
                    self.observed(key, *facts);
                }
                None => self.vanished(key),
            }
        }
    }

    /// Looks for inodes in the directories they were in, and those rotated files go to.
    fn search(
        &self,
        wanted: &HashMap<FileKey, (usize, PathBuf)>,
    ) -> HashMap<FileKey, (PathBuf, Facts)> {
        let mut dirs = BTreeSet::new();
        for (spec, path) in wanted.values() {
            dirs.extend(path.parent().map(Path::to_owned));
            let spec = self.sources.get(*spec);
            dirs.extend(spec.into_iter().flat_map(|spec| spec.rotated_dirs.iter().cloned()));
        }
        let inodes: HashSet<u64> = wanted.keys().map(|key| key.ino).collect();
        let mut found = HashMap::new();
        for entry in dirs.iter().flat_map(std::fs::read_dir).flatten().take(WALK_ENTRIES_MAX) {
            let Ok(entry) = entry else { continue };
            if !inodes.contains(&entry.ino()) {
                continue;
            }
            let path = entry.path();
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            let facts = Facts::of(&meta);
            if meta.is_file() && wanted.contains_key(&facts.key) {
                found.insert(facts.key, (path, facts));
            }
        }
        found
    }

    /// No path leads to the file any more. It may just have been renamed twice while we looked.
    fn vanished(&mut self, key: FileKey) {
        let Some(tailed) = self.known.get_mut(&key) else { return };
        if tailed.file.is_some() {
            tailed.deleted = true;
            self.settling.push(key);
            self.queue(key);
        } else if tailed.missed == 0 {
            tailed.missed = 1;
            self.astray = true;
        } else {
            let since = tailed.grown;
            self.park(key, since);
        }
    }

    /// Takes new files in: those whose name looks rotated last, because they may be copies.
    fn place_all(&mut self, mut fresh: Vec<Found>, now: Now) {
        let is_rotated = |found: &Found| {
            found
                .path
                .file_name()
                .is_some_and(|name| !names_before_rotation(&name.to_string_lossy()).is_empty())
        };
        fresh.sort_by_cached_key(is_rotated);
        for found in fresh {
            self.place(found, now);
        }
    }

    fn place(&mut self, found: Found, now: Now) {
        let Some(spec) = self.sources.get(found.spec) else { return };
        let key = found.facts.key;
        let name = found.path.to_string_lossy().into_owned();
        let source = source_of(spec, name);
        let start = spec.start;
        let mut tailed = Tailed::new(found.spec, source, found.path, found.facts, now.mono);
        if let Some(saved) = self.claim(&found.facts, &tailed.path) {
            tailed.resume(saved);
        } else if self.newborn && !self.scanned && start == Start::End {
            tailed.skip_to_end(found.facts.size);
        } else if self.may_be_copy(&tailed) {
            tailed.copy_since = Some(now.mono);
        }
        self.take_in(key, tailed);
    }

    pub(super) fn take_in(&mut self, key: FileKey, tailed: Tailed) {
        self.by_path.insert(tailed.path.clone(), key);
        if tailed.rotated {
            self.settling.push(key);
        }
        if tailed.copy_since.is_some() {
            self.copies.push(key);
        }
        self.known.insert(key, tailed);
        self.queue(key);
    }

    /// The checkpoint that belongs to a file: same device and inode, and not born since.
    fn claim(&mut self, facts: &Facts, path: &Path) -> Option<Saved> {
        let is_same =
            |saved: &Saved| saved.birth == 0 || facts.birth == 0 || saved.birth == facts.birth;
        if let Some(parked) = self.parked.remove(&facts.key) {
            return is_same(&parked.saved).then_some(parked.saved);
        }
        // A device may have another number after a reboot; the inode and the bytes are the same.
        let (other, _) = self.parked.iter().find(|(key, parked)| {
            key.ino == facts.key.ino && parked.saved.path == path && is_same(&parked.saved)
        })?;
        let other = *other;
        self.forgotten.push(other);
        self.parked.remove(&other).map(|parked| parked.saved)
    }

    /// At start: files with a checkpoint that no glob names, because they were rotated meanwhile.
    fn find_parked(&mut self, now: Now) {
        let wanted: HashMap<FileKey, (usize, PathBuf)> = self
            .parked
            .iter()
            .map(|(key, parked)| {
                (*key, (self.spec_of(&parked.saved.path), parked.saved.path.clone()))
            })
            .collect();
        for (key, (path, facts)) in self.search(&wanted) {
            let Some((spec, _)) = wanted.get(&key) else { continue };
            let offset = self.parked.get(&key).map_or(0, |parked| parked.saved.position.offset);
            if facts.size <= offset {
                continue;
            }
            let Some(source) = self.sources.get(*spec) else { continue };
            if self.globs.is_excluded(*spec, &path) {
                continue;
            }
            let source = source_of(source, String::new());
            let Some(saved) = self.claim(&facts, &path) else { continue };
            let mut tailed = Tailed::new(*spec, source, path, facts, now.mono);
            tailed.resume(saved);
            tailed.rotated = true;
            self.take_in(key, tailed);
        }
    }

    /// The source a path would belong to, if only its directory counts; else the first.
    fn spec_of(&self, path: &Path) -> usize {
        let inside = |tailed: &&Tailed| tailed.path.parent() == path.parent();
        let same = self.known.values().find(|tailed| tailed.path == path);
        same.or_else(|| self.known.values().find(inside)).map_or(0, |tailed| tailed.spec)
    }
}

impl Tailed {
    fn resume(&mut self, saved: Saved) {
        self.position = saved.position;
        self.former = saved.former;
        self.rotated = saved.rotated || self.path != saved.path;
        self.unproven = true;
        if !saved.name.is_empty() {
            self.source.name = saved.name;
        }
    }

    fn skip_to_end(&mut self, size: u64) {
        let end = open(&self.path).and_then(|(file, _)| position_at(&file, size));
        if let Ok(Some(end)) = end {
            self.position = end;
        }
    }
}
