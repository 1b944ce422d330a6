//! A directory of the real file system.
//!
//! Room: `spool`.  Used by: `writer` through `disk`, `tool`.
//! Bounds open files: one being written, [`OPEN_FILES_MAX`] being read. Never mmaps.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, FileId};
use crate::recover::SpoolError;

/// Files kept open for reading. Files. Readers beyond it reopen; the process's own limit is 1024.
const OPEN_FILES_MAX: usize = 32;
const LOCK_NAME: &str = "lock";

/// A spool directory, locked against a second owner for as long as this lives.
pub struct RealDisk {
    dir: PathBuf,
    /// The directory itself, for syncing names.
    handle: File,
    open: Mutex<OpenFiles>,
    /// Held for its lock only; `None` for the read-only tools.
    _lock: Option<File>,
}

struct OpenFiles {
    /// The file last written. Kept apart, since a failed write-back is told only to handles opened before it.
    writing: Option<(FileId, Arc<File>)>,
    /// Most recently used last.
    reading: VecDeque<(FileId, Arc<File>)>,
    /// Names changed since the directory was last synced.
    names_changed: bool,
}

impl RealDisk {
    /// Opens `dir` as its one owner, making it (0700) if it is not there.
    ///
    /// # Errors
    /// [`SpoolError::Locked`] when another process owns it; [`SpoolError::Directory`] for the rest.
    pub fn open(dir: &Path) -> Result<RealDisk, SpoolError> {
        let directory = |source| SpoolError::Directory { dir: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(directory)?;
        if let Some(parent) = dir.parent().and_then(|parent| File::open(parent).ok()) {
            // The directory's own name. Where it may not be read it was not made by us.
            let _ = parent.sync_all();
        }
        let lock = open_lock(&dir.join(LOCK_NAME)).map_err(directory)?;
        match lock.try_lock() {
            Ok(()) => RealDisk::build(dir, Some(lock)),
            Err(TryLockError::WouldBlock) => Err(SpoolError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(directory(source)),
        }
    }

    /// Opens `dir` for reading only, without the lock: for the tools, beside a running owner.
    ///
    /// # Errors
    /// [`SpoolError::Directory`] when it cannot be opened.
    pub fn open_read_only(dir: &Path) -> Result<RealDisk, SpoolError> {
        RealDisk::build(dir, None)
    }

    fn build(dir: &Path, lock: Option<File>) -> Result<RealDisk, SpoolError> {
        let handle = File::open(dir)
            .map_err(|source| SpoolError::Directory { dir: dir.to_owned(), source })?;
        // A killed owner may have left names unsynced: the first sync covers them.
        let open = OpenFiles { writing: None, reading: VecDeque::new(), names_changed: true };
        Ok(RealDisk { dir: dir.to_owned(), handle, open: Mutex::new(open), _lock: lock })
    }

    fn path(&self, file: FileId) -> PathBuf {
        self.dir.join(file.to_string())
    }

    fn files(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn for_writing(&self, file: FileId) -> io::Result<Arc<File>> {
        self.refuse_without_lock()?;
        let mut files = self.files();
        if let Some((id, handle)) = &files.writing
            && *id == file
        {
            return Ok(handle.clone());
        }
        let handle = Arc::new(OpenOptions::new().read(true).write(true).open(self.path(file))?);
        files.writing = Some((file, handle.clone()));
        Ok(handle)
    }

    fn for_reading(&self, file: FileId) -> io::Result<Arc<File>> {
        let mut files = self.files();
        if let Some(place) = files.reading.iter().position(|(id, _)| *id == file)
            && let Some(found) = files.reading.remove(place)
        {
            files.reading.push_back(found.clone());
            return Ok(found.1);
        }
        let handle = Arc::new(File::open(self.path(file))?);
        if files.reading.len() >= OPEN_FILES_MAX {
            files.reading.pop_front();
        }
        files.reading.push_back((file, handle.clone()));
        Ok(handle)
    }

    fn refuse_without_lock(&self) -> io::Result<()> {
        match self._lock {
            Some(_) => Ok(()),
            None => Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading only")),
        }
    }
}

impl OpenFiles {
    fn forget(&mut self, file: FileId) {
        self.names_changed = true;
        self.reading.retain(|(id, _)| *id != file);
        if self.writing.as_ref().is_some_and(|(id, _)| *id == file) {
            self.writing = None;
        }
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<(FileId, u64)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Some(file) = entry.file_name().to_str().and_then(FileId::parse) else { continue };
            match entry.metadata() {
                Ok(facts) if facts.is_file() => found.push((file, facts.len())),
                // A name that is not a plain file is not ours; one that is gone was just renamed.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn create(&self, file: FileId) -> io::Result<()> {
        self.refuse_without_lock()?;
        let handle = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path(file))?;
        let mut files = self.files();
        files.forget(file);
        files.writing = Some((file, Arc::new(handle)));
        Ok(())
    }

    fn write(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.for_writing(file)?.write_all_at(bytes, at)
    }

    fn read(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let handle = self.for_reading(file)?;
        let mut done = 0;
        while done < into.len() {
            match handle.read_at(&mut into[done..], at + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn sync(&self, file: FileId) -> io::Result<()> {
        self.for_writing(file)?.sync_data()?;
        // Taken before the sync: a name changed meanwhile by another thread stays on the list.
        if std::mem::take(&mut self.files().names_changed)
            && let Err(error) = self.handle.sync_all()
            && !cannot_sync_directories(&error)
        {
            self.files().names_changed = true;
            return Err(error);
        }
        Ok(())
    }

    fn rename(&self, from: FileId, to: FileId) -> io::Result<()> {
        self.refuse_without_lock()?;
        std::fs::rename(self.path(from), self.path(to))?;
        let mut files = self.files();
        files.forget(from);
        files.forget(to);
        Ok(())
    }

    fn remove(&self, file: FileId) -> io::Result<()> {
        self.refuse_without_lock()?;
        std::fs::remove_file(self.path(file))?;
        self.files().forget(file);
        Ok(())
    }
}

/// Some file systems (network, FUSE) refuse to sync a directory as such; their names are safe at once.
fn cannot_sync_directories(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// On a disk that turned read-only the old lock file still locks.
fn open_lock(path: &Path) -> io::Result<File> {
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(path),
        made => made,
    }
}
