//! Files on their way out: rotated, deleted, idle, gone.

use std::sync::atomic::Ordering::Relaxed;

use muster_proto::clock::Mono;
use muster_proto::log::LogBlock;

use super::super::file::{Gain, Into, read_partial};
use super::super::limits::{
    IDLE_CLOSE, PARKED_KEEP, PARKED_MAX, QUIET, ROTATED_KEEP, SETTLE_EVERY,
};
use super::super::stats::add;
use super::super::tail::FileKey;
use super::{Files, Now, Parked};

impl Files {
    /// Looks at files that are on their way out, and closes idle ones.
    pub(in super::super) fn settle(&mut self, block: &mut LogBlock, now: Now) {
        for key in std::mem::take(&mut self.copies) {
            if self.is_copy_pending(key, now) {
                self.copies.push(key);
            }
        }
        if now.mono.since(self.settled) < SETTLE_EVERY {
            return;
        }
        self.settled = now.mono;
        let mut settling = std::mem::take(&mut self.settling);
        settling.sort_unstable();
        settling.dedup();
        for key in settling {
            if !self.settle_one(key, block, now) {
                self.settling.push(key);
            }
        }
        let known = &mut self.known;
        self.opened.retain(|key| {
            let Some(tailed) = known.get_mut(key) else { return false };
            let idle = now.mono.since(tailed.grown);
            let keep = if tailed.rotated { QUIET } else { IDLE_CLOSE };
            if tailed.queued || tailed.deleted || tailed.partial || idle < keep {
                return tailed.file.is_some();
            }
            tailed.file = None;
            false
        });
        self.stats.files_open.store(self.opened.len() as u64, Relaxed);
    }

    /// Finishes a rotated or deleted file that has been quiet. `true` when it needs no more looks.
    fn settle_one(&mut self, key: FileKey, block: &mut LogBlock, now: Now) -> bool {
        let Some(tailed) = self.known.get_mut(&key) else { return true };
        if !tailed.deleted && !tailed.rotated {
            return true;
        }
        if tailed.queued {
            return false;
        }
        let quiet = now.mono.since(tailed.grown);
        if quiet < QUIET {
            // Nobody tells us of writes to a file without a path.
            self.queue(key);
            return false;
        }
        if tailed.partial {
            if block.is_full() || self.ensure_open(key, now).is_err() {
                return !self.known.get(&key).is_some_and(|tailed| tailed.deleted);
            }
            return self.take_partial(key, block, now);
        }
        if tailed.deleted || quiet >= ROTATED_KEEP {
            self.park(key, now.mono);
            return true;
        }
        false
    }

    fn take_partial(&mut self, key: FileKey, block: &mut LogBlock, now: Now) -> bool {
        let Some(tailed) = self.known.get_mut(&key) else { return true };
        let Some(file) = &tailed.file else { return false };
        let mut into = Into { block, source: &tailed.source, at: now.utc };
        let before = tailed.position.offset;
        match read_partial(file, &mut tailed.position, &mut into) {
            Ok(true) => {
                let bytes = tailed.position.offset - before;
                add(&self.stats.partial_lines, 1);
                self.count(Gain { lines: 1, bytes, ..Gain::default() });
                self.touch(key);
            }
            Ok(false) => self.queue(key),
            Err(error) => self.is_unreadable(key, &error),
        }
        if let Some(tailed) = self.known.get_mut(&key) {
            tailed.partial = false;
        }
        false
    }

    /// Remembers the position of a file and stops looking after it.
    pub(super) fn park(&mut self, key: FileKey, since: Mono) {
        self.give_up(key);
        let Some(tailed) = self.known.remove(&key) else { return };
        if self.by_path.get(&tailed.path) == Some(&key) {
            self.by_path.remove(&tailed.path);
        }
        self.opened.retain(|opened| *opened != key);
        if tailed.position.offset > 0 {
            self.parked.insert(key, Parked { saved: tailed.saved(), since });
        }
        if self.parked.len() > PARKED_MAX {
            let oldest = self.parked.iter().min_by_key(|(_, parked)| parked.since);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.forget(oldest);
            }
        }
    }

    fn forget(&mut self, key: FileKey) {
        self.parked.remove(&key);
        self.forgotten.push(key);
    }

    pub(super) fn expire(&mut self, now: Mono) {
        let old = |parked: &Parked| now.since(parked.since) > PARKED_KEEP;
        let old: Vec<FileKey> =
            self.parked.iter().filter(|(_, parked)| old(parked)).map(|(key, _)| *key).collect();
        old.into_iter().for_each(|key| self.forget(key));
    }
}
