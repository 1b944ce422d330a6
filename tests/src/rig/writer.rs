//! A program that logs numbered lines into a rotating file, and the reader of those numbers.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ask::text;
use super::{Answer, Asks, pause};

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

/// Lines of one block: as many as one answer of `musterctl logs` may have.
pub const BLOCK_LINES: u64 = 50_000;

/// Writes `line NUMBER of block BLOCK …` into a file.
pub struct Writer {
    path: PathBuf,
    file: File,
    rotation: Rotation,
    next: u64,
    bytes: u64,
    rng: fastrand::Rng,
}

impl Writer {
    /// Begins at number 0.
    ///
    /// # Panics
    /// When the file cannot be made.
    pub fn new(path: &Path, rotation: Rotation) -> Writer {
        let file = File::options().create(true).append(true).open(path).expect("a log file");
        Writer {
            path: path.to_owned(),
            file,
            rotation,
            next: 0,
            bytes: 0,
            rng: fastrand::Rng::with_seed(1),
        }
    }

    /// Writes `count` lines in one go.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&mut self, count: u64) {
        for _ in 0..count {
            let number = self.next;
            // About 200 bytes, a quarter of them chance, as access logs have.
            let (trace, size) = (self.rng.u128(..), self.rng.u16(..));
            let filler = format!(
                "GET /wiki/Special:Version HTTP/1.1 200 {size} trace={trace:032x} \
                 \"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\""
            );
            let block = number / BLOCK_LINES;
            let line = format!("line {number} of block {block} {filler}\n");
            self.file.write_all(line.as_bytes()).expect("written");
            self.bytes += line.len() as u64;
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

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
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

/// What became of the lines of a [`Writer`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Different lines found.
    pub found: u64,
    /// Ranges of numbers that were not found.
    pub missing: Vec<(u64, u64)>,
    /// Numbers found more than once.
    pub doubled: Vec<u64>,
    /// Numbers found that were never written.
    pub strange: Vec<u64>,
}

impl Tally {
    /// Asks for every line of `written`, block by block; with a host, for its lines only.
    ///
    /// # Errors
    /// What musterctl says when an answer is not whole, e.g. because an aggregator does not answer.
    pub fn of(fleet: &dyn Asks, host: Option<&str>, written: u64) -> Result<Tally, String> {
        let mut tally = Tally::default();
        let of_host: Vec<&str> = host.into_iter().flat_map(|host| ["--host", host]).collect();
        for block in 0..written.div_ceil(BLOCK_LINES) {
            let words = format!("of block {block} ");
            let limit = (2 * BLOCK_LINES).to_string();
            let question = ["logs", "--json", "--class", "test", "-n", &limit, &words];
            let answer = fleet.ask(&[&question, of_host.as_slice()].concat());
            if answer.code != 0 {
                return Err(answer.err);
            }
            tally.add(&numbered(&answer), (block * BLOCK_LINES, written));
        }
        Ok(tally)
    }

    /// Waits until every one of `written` lines is found exactly once.
    ///
    /// # Panics
    /// At once when one is found twice, and when patience is over.
    #[track_caller]
    pub fn settle(fleet: &dyn Asks, written: u64, patience: Duration) {
        Tally::settle_host(fleet, None, written, patience);
    }

    /// As [`Tally::settle`], of one host's lines.
    ///
    /// # Panics
    /// As [`Tally::settle`].
    #[track_caller]
    pub fn settle_host(fleet: &dyn Asks, host: Option<&str>, written: u64, patience: Duration) {
        let began = Instant::now();
        loop {
            let (is_over, why) = match Tally::of(fleet, host, written) {
                Ok(tally) if tally.is_complete(written) => return,
                Ok(tally) => {
                    let is_over = !tally.doubled.is_empty() || !tally.strange.is_empty();
                    (is_over, format!("{tally:?}"))
                }
                Err(why) => (false, why),
            };
            let is_late = began.elapsed() > patience;
            assert!(
                !is_over && !is_late,
                "not every one of {written} lines of {host:?} once: {why}"
            );
            pause(Duration::from_millis(500));
        }
    }

    /// Whether every one of `written` lines is there exactly once.
    pub fn is_complete(&self, written: u64) -> bool {
        *self == Tally { found: written, ..Tally::default() }
    }

    /// Takes in the sorted numbers of the block that begins at `first`.
    fn add(&mut self, numbers: &[u64], (first, written): (u64, u64)) {
        let end = (first + BLOCK_LINES).min(written);
        let mut expected = first;
        for number in numbers {
            match *number {
                number if number >= end => self.strange.push(number),
                number if number < expected => self.doubled.push(number),
                number => {
                    self.miss(expected, number);
                    self.found += 1;
                    expected = number + 1;
                }
            }
        }
        self.miss(expected, end);
    }

    fn miss(&mut self, from: u64, to: u64) {
        if from < to {
            self.missing.push((from, to - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_sees_what_is_missing_doubled_or_strange() {
        let mut tally = Tally::default();
        tally.add(&[0, 1, 1, 4, 9], (0, 6));
        let expected =
            Tally { found: 3, missing: vec![(2, 3), (5, 5)], doubled: vec![1], strange: vec![9] };
        assert_eq!(tally, expected);
        let mut tally = Tally::default();
        tally.add(&[0, 1, 2], (0, 3));
        assert!(tally.is_complete(3));
    }
}
