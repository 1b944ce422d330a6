//! The verbs of a disk, and what it is asked about: files by duty, not by path.
//!
//! Room: `spool`.  Real: `real_disk`.  Lying, for tests: `testing`.
//! `sync` makes the bytes of a file durable *and* every name made, changed or removed before it.

use std::fmt;
use std::io;

use crate::limits::NUMBER_MAX;

/// One file of a spool directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileId {
    /// A live segment.
    Segment(u64),
    /// A freed segment kept for reuse.
    Free(u64),
    /// A damaged segment put aside.
    Bad(u64),
    /// A segment being rewritten by `repair`.
    Fresh(u64),
    /// Zeroes to be given up when the disk is full.
    Reserve,
}

impl FileId {
    /// The file of this name; `None` for names that are not ours.
    pub fn parse(name: &str) -> Option<FileId> {
        if name == "reserve" {
            return Some(FileId::Reserve);
        }
        let (stem, ending) = name.split_once('.')?;
        let is_id =
            stem.len() == 16 && stem.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let id = u64::from_str_radix(stem, 16).ok().filter(|id| is_id && *id <= NUMBER_MAX)?;
        match ending {
            "seg" => Some(FileId::Segment(id)),
            "free" => Some(FileId::Free(id)),
            "bad" => Some(FileId::Bad(id)),
            "fresh" => Some(FileId::Fresh(id)),
            _ => None,
        }
    }

    /// The id in the name, if it has one.
    pub fn number(self) -> Option<u64> {
        match self {
            FileId::Segment(id) | FileId::Free(id) | FileId::Bad(id) | FileId::Fresh(id) => {
                Some(id)
            }
            FileId::Reserve => None,
        }
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileId::Segment(id) => write!(out, "{id:016x}.seg"),
            FileId::Free(id) => write!(out, "{id:016x}.free"),
            FileId::Bad(id) => write!(out, "{id:016x}.bad"),
            FileId::Fresh(id) => write!(out, "{id:016x}.fresh"),
            FileId::Reserve => out.write_str("reserve"),
        }
    }
}

/// What a spool asks of a disk. All calls block.
pub trait Disk: Send + Sync {
    /// Every file of ours with its length in bytes, in any order. Other names are not listed.
    fn list(&self) -> io::Result<Vec<(FileId, u64)>>;
    /// Makes an empty file; fails if the name is taken.
    fn create(&self, file: FileId) -> io::Result<()>;
    /// Writes all of `bytes` at `at`, growing the file. Durable only after `sync`.
    fn write(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads up to `into.len()` bytes at `at`; fewer only at the end of the file.
    fn read(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Makes the bytes of `file` durable, and all names. After an error nothing may be assumed.
    fn sync(&self, file: FileId) -> io::Result<()>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: FileId, to: FileId) -> io::Result<()>;
    /// Removes a name; open readers keep the bytes.
    fn remove(&self, file: FileId) -> io::Result<()>;
}

impl<D: Disk + ?Sized> Disk for std::sync::Arc<D> {
    fn list(&self) -> io::Result<Vec<(FileId, u64)>> {
        (**self).list()
    }
    fn create(&self, file: FileId) -> io::Result<()> {
        (**self).create(file)
    }
    fn write(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write(file, at, bytes)
    }
    fn read(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize> {
        (**self).read(file, at, into)
    }
    fn sync(&self, file: FileId) -> io::Result<()> {
        (**self).sync(file)
    }
    fn rename(&self, from: FileId, to: FileId) -> io::Result<()> {
        (**self).rename(from, to)
    }
    fn remove(&self, file: FileId) -> io::Result<()> {
        (**self).remove(file)
    }
}
