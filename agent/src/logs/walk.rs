//! Globs to files, component by component: only directories that a pattern can reach are read.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use super::file::Facts;
use super::limits::{WALK_DEPTH_MAX, WALK_ENTRIES_MAX, WATCH_DIRS_MAX};
use super::settings::{FileSource, SettingsError};

/// Compiled patterns of all file sources.
#[derive(Debug)]
pub(super) struct Globs {
    specs: Vec<Spec>,
}

#[derive(Debug)]
struct Spec {
    patterns: Vec<Vec<Step>>,
    exclude: GlobSet,
}

#[derive(Debug)]
enum Step {
    Name(String),
    Match(GlobMatcher),
    Deep,
}

/// A file that a pattern names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) facts: Facts,
    /// Which file source, by its place in the settings.
    pub(super) spec: usize,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// In the order of the sources, then of their paths. One file may come several times.
    pub(super) files: Vec<Found>,
    /// Directories in which a new name may be a new file.
    pub(super) dirs: BTreeSet<PathBuf>,
    /// What could not be read and why. Paths that do not exist are not among them.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
    /// Directory entries looked at.
    pub(super) entries: usize,
}

impl Globs {
    /// Compiles the patterns of `sources`.
    pub(super) fn new(sources: &[FileSource]) -> Result<Globs, SettingsError> {
        let mut specs = Vec::new();
        for source in sources {
            let mut patterns = Vec::new();
            for pattern in &source.paths {
                patterns.push(parse_pattern(pattern)?);
            }
            let mut exclude = GlobSetBuilder::new();
            let fixed = FileSource::EXCLUDED.iter().copied();
            for pattern in fixed.chain(source.exclude.iter().map(String::as_str)) {
                exclude.add(glob(pattern)?);
            }
            let bad = |source| SettingsError::Glob { pattern: "exclude".to_owned(), source };
            specs.push(Spec { patterns, exclude: exclude.build().map_err(bad)? });
        }
        Ok(Globs { specs })
    }

    /// True when `path` must not be read as text by source `spec`.
    pub(super) fn is_excluded(&self, spec: usize, path: &Path) -> bool {
        self.specs.get(spec).is_some_and(|spec| spec.exclude.is_match(path))
    }

    /// Walks all patterns.
    pub(super) fn walk(&self) -> Walked {
        let mut walked = Walked::default();
        for (number, spec) in self.specs.iter().enumerate() {
            let from = walked.files.len();
            for pattern in &spec.patterns {
                descend(Path::new("/"), pattern, (number, &spec.exclude), 0, &mut walked);
            }
            walked.files[from..].sort_by(|a, b| a.path.cmp(&b.path));
        }
        walked
    }
}

fn glob(pattern: &str) -> Result<Glob, SettingsError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|source| SettingsError::Glob { pattern: pattern.to_owned(), source })
}

fn parse_pattern(pattern: &str) -> Result<Vec<Step>, SettingsError> {
    let Some(relative) = pattern.strip_prefix('/') else {
        return Err(SettingsError::Relative { pattern: pattern.to_owned() });
    };
    let mut steps = Vec::new();
    for part in relative.split('/').filter(|part| !part.is_empty() && *part != ".") {
        steps.push(if part == "**" {
            Step::Deep
        } else if part.contains(['*', '?', '[', '{', '\\']) {
            Step::Match(glob(part)?.compile_matcher())
        } else {
            Step::Name(part.to_owned())
        });
    }
    Ok(steps)
}

fn descend(dir: &Path, steps: &[Step], spec: (usize, &GlobSet), depth: usize, walked: &mut Walked) {
    let Some((step, rest)) = steps.split_first() else { return };
    if depth > WALK_DEPTH_MAX || walked.entries > WALK_ENTRIES_MAX {
        return;
    }
    if let Step::Name(name) = step {
        let path = dir.join(name);
        walked.entries += 1;
        if rest.is_empty() || !path.is_dir() {
            note_dir(dir, walked);
        }
        return enter(&path, rest, spec, depth, walked);
    }
    note_dir(dir, walked);
    if matches!(step, Step::Deep) {
        descend(dir, rest, spec, depth, walked);
    }
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        // A file where the glob has a directory: `/var/log/*/*.log` passes `/var/log/syslog`.
        Err(error) if is_nothing_there(&error) => return,
        Err(error) => return walked.unreadable.push((dir.to_owned(), error)),
    };
    for entry in entries.flatten() {
        walked.entries += 1;
        if walked.entries > WALK_ENTRIES_MAX {
            return;
        }
        match step {
            Step::Match(matcher) if matcher.is_match(entry.file_name()) => {
                enter(&entry.path(), rest, spec, depth, walked);
            }
            // Below `**` symbolic links to directories are not followed: they may lead in circles.
            Step::Deep if entry.file_type().is_ok_and(|kind| kind.is_dir()) => {
                descend(&entry.path(), steps, spec, depth + 1, walked);
            }
            _ => {}
        }
    }
}

fn enter(path: &Path, rest: &[Step], spec: (usize, &GlobSet), depth: usize, walked: &mut Walked) {
    if !rest.is_empty() {
        return descend(path, rest, spec, depth, walked);
    }
    if spec.1.is_match(path) {
        return;
    }
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            let facts = Facts::of(&meta);
            walked.files.push(Found { path: path.to_owned(), facts, spec: spec.0 });
        }
        Ok(_) => {}
        Err(error) if is_nothing_there(&error) => {}
        Err(error) => walked.unreadable.push((path.to_owned(), error)),
    }
}

fn note_dir(dir: &Path, walked: &mut Walked) {
    if walked.dirs.len() < WATCH_DIRS_MAX && !walked.dirs.contains(dir) && dir.is_dir() {
        walked.dirs.insert(dir.to_owned());
    }
}

fn is_nothing_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, exclude: &[&str], expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for file in [
            "a.log",
            "b.log",
            "b.log.1",
            "c.log.2.gz",
            "app/x/out.log",
            "app/y/out.log",
            "app/y/z/deep.log",
            "wtmp",
        ] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("app/loop")).unwrap();
        let under = |pattern: &str| format!("{}/{pattern}", root.display());
        let source = FileSource {
            paths: vec![under(pattern)],
            exclude: exclude.iter().map(|pattern| under(pattern)).collect(),
            ..FileSource::default()
        };
        let walked = Globs::new(&[source]).unwrap().walk();
        let names: Vec<_> = walked
            .files
            .iter()
            .map(|found| found.path.strip_prefix(root).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, expected);
        assert!(walked.unreadable.is_empty(), "{:?}", walked.unreadable);
    }

    #[test]
    fn patterns_find_what_they_name() {
        check("*.log", &[], &["a.log", "b.log"]);
        check("*", &[], &["a.log", "b.log", "b.log.1"]);
        check("b.*", &["*.1"], &["b.log"]);
        check("a.log", &[], &["a.log"]);
        check("app/*/out.log", &[], &["app/x/out.log", "app/y/out.log"]);
        check("app/**/*.log", &[], &["app/x/out.log", "app/y/out.log", "app/y/z/deep.log"]);
        check("{a,b}.log", &[], &["a.log", "b.log"]);
        check("missing/*.log", &[], &[]);
        // Files in the place of directories are not directories that cannot be read.
        check("*/x/out.log", &[], &["app/x/out.log"]);
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        let source =
            |path: &str| FileSource { paths: vec![path.to_owned()], ..FileSource::default() };
        assert!(matches!(Globs::new(&[source("var/log/*")]), Err(SettingsError::Relative { .. })));
        assert!(matches!(Globs::new(&[source("/var/[")]), Err(SettingsError::Glob { .. })));
    }
}
