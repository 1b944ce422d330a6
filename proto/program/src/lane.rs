//! A lane on the command line.

use std::io;
use std::path::PathBuf;

use clap::ValueEnum;
use muster_proto::lane::Lane;

/// A lane that has a spool, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LaneName {
    /// Check transitions, heartbeats, facts.
    State,
    /// Samples.
    Metrics,
    /// Log lines.
    Logs,
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Lane {
        match name {
            LaneName::State => Lane::State,
            LaneName::Metrics => Lane::Metrics,
            LaneName::Logs => Lane::Logs,
        }
    }
}

/// The directories that are there, of those that lanes may have. A lane that was never used has none.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when no lane has one; what the system says when it cannot be known.
pub fn existing(dirs: Vec<(Lane, PathBuf)>) -> Result<Vec<(Lane, PathBuf)>, (PathBuf, io::Error)> {
    let mut there = Vec::new();
    let mut first_absent = None;
    for (lane, dir) in dirs {
        match std::fs::metadata(&dir) {
            Ok(_) => there.push((lane, dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                first_absent.get_or_insert((dir, error));
            }
            Err(error) => return Err((dir, error)),
        }
    }
    match first_absent {
        Some(absent) if there.is_empty() => Err(absent),
        _ => Ok(there),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_everywhere_or_cannot_be_seen_is_no_empty_list() {
        let folder = tempfile::tempdir().unwrap();
        let dirs = || [Lane::State, Lane::Logs].map(|lane| (lane, folder.path().join(lane.name())));
        let (_, error) = existing(dirs().to_vec()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        assert_eq!(existing(dirs().to_vec()).unwrap(), [dirs()[1].clone()]);
        // A file where a directory should be: nothing below it can be looked at.
        std::fs::write(folder.path().join("file"), "").unwrap();
        let below = vec![(Lane::State, folder.path().join("file/state"))];
        assert_eq!(existing(below).unwrap_err().1.kind(), io::ErrorKind::NotADirectory);
    }
}
