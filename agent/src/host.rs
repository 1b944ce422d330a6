//! The machine as a tree of files: the one door to `/proc`, `/sys`, `/etc` and the kernel.
//!
//! Room: `host`.  May use: nobody in the house.  Used by: `facts`, `metrics`, `checks`.
//!
//! Invariants
//! - Paths are relative to a root, so a recorded tree is a test machine. What is no file on a live
//!   host (statfs, adjtimex, the list of units) stands under `recorded/` there.
//! - A read is bounded: a file that never ends costs [`READ_BYTES_MAX`] and an error.
//! - Reading blocks. Call from a plain thread, never from the runtime.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::facts::statfs::Prober;
use crate::facts::units::Bus;

/// Longest file that is read. Bytes. `/proc/stat` of a machine with 1 024 processors fits twice.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most names of one directory that are listed. A directory with more is not one of the kernel's.
pub const LIST_NAMES_MAX: usize = 65_536;

/// Why a fact is not known.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The file is not there: this kernel or machine does not have the thing.
    #[error("{path} is not there")]
    Missing {
        /// Relative to the root.
        path: String,
    },
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Relative to the root.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file or directory is longer than the limit.
    #[error("{path} is longer than {limit}")]
    TooLong {
        /// Relative to the root.
        path: String,
        /// Bytes of a file, names of a directory.
        limit: usize,
    },
    /// The text is not what the manual page promises.
    #[error("{what} says {line:?}, which is not understood")]
    Malformed {
        /// Which text, e.g. `meminfo`.
        what: &'static str,
        /// The line, cut to 120 characters.
        line: String,
    },
    /// A system call failed.
    #[error("{call} failed")]
    Call {
        /// Its name.
        call: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// systemd did not answer over D-Bus.
    #[error("cannot ask systemd over D-Bus: {why}")]
    Bus {
        /// In words; the cause may come from another thread.
        why: String,
    },
    /// Nobody has asked yet.
    #[error("not read yet")]
    Unread,
}

impl HostError {
    /// A [`HostError::Malformed`] with the line cut to a length that fits a log.
    pub fn malformed(what: &'static str, line: &str) -> HostError {
        HostError::Malformed { what, line: line.chars().take(120).collect() }
    }

    /// Whether the thing does not exist here, which most callers treat as "nothing to report".
    pub fn is_missing(&self) -> bool {
        matches!(self, HostError::Missing { .. })
    }
}

/// One machine: the live one, or a recorded tree. Clones share the probes in flight.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where its file tree begins.
    pub root: PathBuf,
    /// Probes of mounts: at most one in flight for each.
    pub(crate) prober: Arc<Prober>,
    /// The connection to systemd, opened at first use.
    pub(crate) bus: Arc<Bus>,
}

impl Host {
    /// The machine this process runs on.
    pub fn live() -> Host {
        Host::at("/")
    }

    /// The machine whose tree stands at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Host {
        Host { root: root.into(), prober: Arc::default(), bus: Arc::default() }
    }

    /// Whether this is the machine the process runs on, so that system calls speak of it.
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The path of `rel` below the root.
    pub fn path(&self, rel: &str) -> PathBuf {
        self.root.join(rel.trim_start_matches('/'))
    }

    /// The file's text; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`HostError::Missing`], [`HostError::Read`], [`HostError::TooLong`].
    pub fn read(&self, rel: &str) -> Result<String, HostError> {
        let bytes = self.read_bytes(rel)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`HostError::Missing`], [`HostError::Read`], [`HostError::TooLong`].
    pub fn read_bytes(&self, rel: &str) -> Result<Vec<u8>, HostError> {
        let failed = |source: io::Error| HostError::from_io(rel, source);
        let file = File::open(self.path(rel)).map_err(failed)?;
        let mut bytes = Vec::with_capacity(4096);
        file.take(READ_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > READ_BYTES_MAX {
            return Err(HostError::TooLong { path: rel.to_owned(), limit: READ_BYTES_MAX });
        }
        Ok(bytes)
    }

    /// The only line of a small file (sysfs), without white space around it.
    ///
    /// # Errors
    /// As [`Host::read`].
    pub fn read_line(&self, rel: &str) -> Result<String, HostError> {
        let mut text = self.read(rel)?;
        let end = text.trim_end().len();
        text.truncate(end);
        if text.starts_with(char::is_whitespace) {
            text = text.trim_start().to_owned();
        }
        Ok(text)
    }

    /// The number in a small file.
    ///
    /// # Errors
    /// As [`Host::read`], and [`HostError::Malformed`] when it is no number.
    pub fn read_number<T: std::str::FromStr>(&self, rel: &str) -> Result<T, HostError> {
        let line = self.read_line(rel)?;
        line.parse().map_err(|_| HostError::malformed("a number file", &line))
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// [`HostError::Missing`], [`HostError::Read`], [`HostError::TooLong`].
    pub fn list(&self, rel: &str) -> Result<Vec<String>, HostError> {
        let failed = |source: io::Error| HostError::from_io(rel, source);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(rel)).map_err(failed)? {
            if names.len() == LIST_NAMES_MAX {
                return Err(HostError::TooLong { path: rel.to_owned(), limit: LIST_NAMES_MAX });
            }
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether something stands at `rel`, a dangling link not included.
    pub fn exists(&self, rel: &str) -> bool {
        self.path(rel).exists()
    }
}

impl HostError {
    fn from_io(rel: &str, source: io::Error) -> HostError {
        match source.kind() {
            io::ErrorKind::NotFound => HostError::Missing { path: rel.to_owned() },
            _ => HostError::Read { path: rel.to_owned(), source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_never_ends_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero")).unwrap();
        let error = Host::at(dir.path()).read("zero").unwrap_err();
        assert!(matches!(error, HostError::TooLong { limit: READ_BYTES_MAX, .. }), "{error}");
    }

    #[test]
    fn missing_is_told_from_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        assert!(host.read("proc/stat").unwrap_err().is_missing());
        std::fs::create_dir(dir.path().join("proc")).unwrap();
        assert!(matches!(host.read("proc"), Err(HostError::Read { .. })));
        assert!(host.list("proc").unwrap().is_empty());
        assert!(!host.exists("/proc/stat"));
    }

    #[test]
    fn text_that_is_not_utf8_survives() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), b" a\xffb \n").unwrap();
        let host = Host::at(dir.path());
        assert_eq!(host.read_line("x").unwrap(), "a\u{fffd}b");
        assert_eq!(host.read_bytes("x").unwrap(), b" a\xffb \n");
    }
}
