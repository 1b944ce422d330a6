//! Directories watched through inotify. Says what may have changed; the scan finds out what did.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use muster_proto::clock::Mono;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::limits::{BUSY_KEEP, WATCH_DIRS_MAX, WATCH_EVENTS_MAX, WATCH_PATHS_MAX};

/// What happened since the last look.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Files that were written to.
    pub(super) written: HashSet<PathBuf>,
    /// Names that went: if one was a directory, its watch went with it.
    pub(super) gone: HashSet<PathBuf>,
    /// A name came, went or changed.
    pub(super) names_changed: bool,
    /// Events were lost; everything may have changed.
    pub(super) lost: bool,
    events: HashMap<PathBuf, u32>,
}

/// The watched directories.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    news: Arc<Mutex<News>>,
    dirs: BTreeSet<PathBuf>,
    refused: bool,
    busy: HashMap<PathBuf, Mono>,
    counted_since: Mono,
}

impl Watch {
    /// Watches nothing yet. `wake` is called from another thread when there is news.
    pub(super) fn new(enabled: bool, wake: impl Fn() + Send + 'static) -> Watch {
        let news = Arc::new(Mutex::new(News::default()));
        let inbox = Arc::clone(&news);
        let mut watcher = None;
        if enabled {
            let made = notify::recommended_watcher(move |event| {
                if lock(&inbox).take(event) {
                    wake();
                }
            });
            match made {
                Ok(made) => watcher = Some(made),
                Err(why) => {
                    tracing::warn!(why = %why, "Cannot use inotify; log paths are scanned.")
                }
            }
        }
        let refused = watcher.is_none();
        Watch {
            watcher,
            news,
            dirs: BTreeSet::new(),
            refused,
            busy: HashMap::new(),
            counted_since: Mono(0),
        }
    }

    /// Watches exactly `dirs`, but for the busy ones. Returns how many were refused.
    pub(super) fn follow(&mut self, dirs: &BTreeSet<PathBuf>) -> u64 {
        let Some(watcher) = &mut self.watcher else { return 0 };
        for gone in self.dirs.difference(dirs) {
            // It is gone already when the directory was removed.
            let _ = watcher.unwatch(gone);
        }
        self.dirs.retain(|dir| dirs.contains(dir));
        let mut refused = 0;
        for dir in dirs.iter().take(WATCH_DIRS_MAX) {
            if self.dirs.contains(dir) || self.busy.contains_key(dir) {
                continue;
            }
            match watcher.watch(dir, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.dirs.insert(dir.clone());
                }
                Err(_) => refused += 1,
            }
        }
        self.refused = refused > 0;
        refused
    }

    /// A directory of that path came or went: a watch on the old one is worth nothing.
    pub(super) fn forget(&mut self, dir: &Path) {
        if self.dirs.remove(dir)
            && let Some(watcher) = &mut self.watcher
        {
            let _ = watcher.unwatch(dir);
        }
    }

    /// Takes the news. Directories with too many events are not watched for a while.
    pub(super) fn news(&mut self, now: Mono) -> News {
        let mut inbox = lock(&self.news);
        let mut news = std::mem::take(&mut *inbox);
        let seconds = now.since(self.counted_since).as_secs();
        if seconds == 0 {
            inbox.events = std::mem::take(&mut news.events);
        } else {
            self.counted_since = now;
        }
        drop(inbox);
        for (dir, count) in news.events.drain() {
            if u64::from(count) > u64::from(WATCH_EVENTS_MAX) * seconds {
                self.forget(&dir);
                self.busy.insert(dir, now.after(BUSY_KEEP));
            }
        }
        let before = self.busy.len();
        self.busy.retain(|_, until| *until > now);
        news.names_changed |= self.busy.len() < before;
        news
    }

    /// Directories that must be looked at because they are too busy to watch.
    pub(super) fn busy(&self) -> impl Iterator<Item = &Path> {
        self.busy.keys().map(PathBuf::as_path)
    }

    /// True when changes may go unnoticed until the next scan.
    pub(super) fn is_blind(&self) -> bool {
        self.refused
    }

    /// Directories watched.
    pub(super) fn watched(&self) -> usize {
        self.dirs.len()
    }
}

impl News {
    /// Adds one event; `true` when somebody should look.
    fn take(&mut self, event: notify::Result<notify::Event>) -> bool {
        let Ok(event) = event else {
            self.lost = true;
            return true;
        };
        if event.need_rescan() || self.written.len() + self.gone.len() >= WATCH_PATHS_MAX {
            self.lost = true;
            return true;
        }
        let written = match event.kind {
            EventKind::Modify(ModifyKind::Data(_))
            | EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Create(_)
            | EventKind::Remove(_)
            | EventKind::Modify(ModifyKind::Name(_)) => {
                self.names_changed = true;
                false
            }
            _ => return false,
        };
        for path in event.paths {
            if let Some(dir) = path.parent() {
                match self.events.get_mut(dir) {
                    Some(count) => *count += 1,
                    None => drop(self.events.insert(dir.to_owned(), 1)),
                }
            }
            if written {
                self.written.insert(path);
            } else if !matches!(event.kind, EventKind::Create(_)) {
                self.gone.insert(path);
            }
        }
        true
    }
}

fn lock(news: &Mutex<News>) -> MutexGuard<'_, News> {
    news.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
