//! A program that logs numbered lines into a rotating file, and the reader of those numbers.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Answer;
use super::ask::text;

/// How the file is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Never.
    None,
    /// `mv x x.1` (and x.1 to x.2, …), then a new x, every so many lines.
    Rename {
        /// Lines between two rotations.
        every: u64,
        /// Rotated files kept.
        keep: u32,
    },
}

/// Writes `line NUMBER …` into a file.
pub struct Writer {
    path: PathBuf,
    file: File,
    rotation: Rotation,
    next: u64,
}

impl Writer {
    /// Begins at number 0.
    ///
    /// # Panics
    /// When the file cannot be made.
    pub fn new(path: &Path, rotation: Rotation) -> Writer {
        let file = File::options().create(true).append(true).open(path).expect("a log file");
        Writer { path: path.to_owned(), file, rotation, next: 0 }
    }

    /// Writes `count` lines in one go.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&mut self, count: u64) {
        for _ in 0..count {
            let number = self.next;
            // About 200 bytes, as the reference corpus has.
            let filler = "x".repeat(120 + (number % 60) as usize);
            writeln!(self.file, "line {number} of the numbered writer {filler}").expect("written");
            self.next += 1;
            if let Rotation::Rename { every, keep } = self.rotation
                && self.next.is_multiple_of(every)
            {
                self.rotate(keep);
            }
        }
    }

    /// Lines written so far.
    pub fn written(&self) -> u64 {
        self.next
    }

    fn rotate(&mut self, keep: u32) {
        let name = |n: u32| PathBuf::from(format!("{}.{n}", self.path.display()));
        for n in (1..keep).rev() {
            let _ = std::fs::rename(name(n), name(n + 1));
        }
        std::fs::rename(&self.path, name(1)).expect("the file is renamed");
        self.file = File::options().create(true).append(true).open(&self.path).expect("a new file");
    }
}

/// The numbers in `musterctl logs --json`, sorted.
pub fn numbered(answer: &Answer) -> Vec<u64> {
    let mut numbers: Vec<u64> = answer
        .lines()
        .iter()
        .filter_map(|row| {
            text(row, "message").strip_prefix("line ")?.split(' ').next()?.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers
}
