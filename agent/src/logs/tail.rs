//! Where a reader stands in a file, and whether bytes are the continuation. Pure.
//!
//! A position carries hashes of what stands before it. A file continues at a position when the bytes
//! that end there have the same hash; otherwise it was truncated, overwritten or is another file.

use super::hash::hash64;
use super::limits::{HEAD_BYTES, TAIL_BYTES};

/// Which file: `st_dev` and `st_ino`. Inodes are reused, so the bytes decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct FileKey {
    /// Device.
    pub(super) dev: u64,
    /// Inode.
    pub(super) ino: u64,
}

/// Length and hash of some bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// How many bytes.
    pub(super) len: u16,
    /// Their hash; 0 when there are none.
    pub(super) hash: u64,
}

impl Mark {
    /// The mark of `bytes`, at most 65 535 of them.
    pub(super) fn of(bytes: &[u8]) -> Mark {
        if bytes.is_empty() {
            return Mark::default();
        }
        Mark { len: bytes.len() as u16, hash: hash64(bytes) }
    }
}

/// Where a reader stands in a file. Every line before it is in the spool, no line after it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    /// Bytes from the beginning.
    pub(super) offset: u64,
    /// The file's first bytes, as many as were read, at most `HEAD_BYTES`.
    pub(super) head: Mark,
    /// The bytes before the offset, at most `TAIL_BYTES`.
    pub(super) tail: Mark,
    /// The offset is inside a line that was cut; what follows up to its newline is not wanted.
    pub(super) skipping: bool,
}

impl Position {
    /// True when `before`, the bytes that end at the offset, are those that were read.
    pub(super) fn continues(&self, before: &[u8]) -> bool {
        Mark::of(before) == self.tail
    }

    /// Moves over `taken`, which follows `before` (as many bytes as the tail mark has).
    pub(super) fn advance(&mut self, before: &[u8], taken: &[u8]) {
        if taken.is_empty() {
            return;
        }
        let mut joined = [0; 2 * TAIL_BYTES];
        let fresh = &taken[taken.len().saturating_sub(TAIL_BYTES)..];
        let tail = if fresh.len() == TAIL_BYTES {
            fresh
        } else {
            let old = &before[before.len().saturating_sub(TAIL_BYTES - fresh.len())..];
            joined[..old.len()].copy_from_slice(old);
            joined[old.len()..old.len() + fresh.len()].copy_from_slice(fresh);
            &joined[..old.len() + fresh.len()]
        };
        self.tail = Mark::of(tail);
        if usize::from(self.head.len) < HEAD_BYTES {
            // As long as the head is short, the tail reaches back to the beginning of the file.
            let mut head = [0; HEAD_BYTES];
            let old = before.len().min(HEAD_BYTES);
            let fresh = taken.len().min(HEAD_BYTES - old);
            head[..old].copy_from_slice(&before[..old]);
            head[old..old + fresh].copy_from_slice(&taken[..fresh]);
            self.head = Mark::of(&head[..old + fresh]);
        }
        self.offset += taken.len() as u64;
    }
}

/// Names under which `name` may have been written before it was rotated: `x` for `x.1` and
/// `x-20260102`, `x.log` for `x-20260102.log`. Empty when it does not look rotated.
pub(super) fn names_before_rotation(name: &str) -> Vec<String> {
    let mut names = Vec::new();
    let is_mark = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | 'T' | 'Z' | ':');
    let mut push = |stem: &str, suffix: &str| {
        let base = stem.trim_end_matches(is_mark);
        let mark = &stem[base.len()..];
        let dated =
            mark.starts_with(['.', '-', '_']) && mark.contains(|c: char| c.is_ascii_digit());
        if dated && !base.is_empty() {
            names.push(format!("{base}{suffix}"));
        }
    };
    push(name, "");
    if let Some(dot) = name.rfind('.') {
        push(&name[..dot], &name[dot..]);
    }
    if let Some(stem) = name.strip_suffix(".old") {
        names.push(stem.to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], steps: &[usize]) -> Position {
        let mut position = Position::default();
        let mut at = 0;
        for step in steps {
            let before = &bytes[at - usize::from(position.tail.len)..at];
            assert!(position.continues(before));
            position.advance(before, &bytes[at..at + step]);
            at += step;
        }
        position
    }

    #[test]
    fn a_position_depends_on_the_bytes_and_not_on_the_steps() {
        let mut rng = fastrand::Rng::with_seed(1);
        let bytes: Vec<u8> = (0..20_000).map(|_| rng.u8(..)).collect();
        for total in [0, 1, 3, 1023, 1024, 1025, 4095, 4096, 4097, 9000, 20_000] {
            let whole = read(&bytes, &[total]);
            assert_eq!(whole.head, Mark::of(&bytes[..total.min(HEAD_BYTES)]));
            assert_eq!(whole.tail, Mark::of(&bytes[total.saturating_sub(TAIL_BYTES)..total]));
            for _ in 0..20 {
                let mut steps = Vec::new();
                let mut left = total;
                while left > 0 {
                    let step = rng.usize(1..=left.min(3000));
                    steps.push(step);
                    left -= step;
                }
                assert_eq!(read(&bytes, &steps), whole);
            }
        }
    }

    #[test]
    fn other_bytes_do_not_continue() {
        let bytes = [b'a'; 5000];
        let position = read(&bytes, &[5000]);
        assert!(position.continues(&bytes[..TAIL_BYTES]));
        let mut other = bytes;
        other[TAIL_BYTES - 1] = b'b';
        assert!(!position.continues(&other[..TAIL_BYTES]));
        assert!(!position.continues(&bytes[..TAIL_BYTES - 1]));
        assert!(Position::default().continues(b""));
    }

    #[test]
    fn rotated_names_give_the_name_before() {
        let check =
            |name, expected: &[&str]| assert_eq!(names_before_rotation(name), expected, "{name}");
        check("syslog.1", &["syslog"]);
        check("syslog-20260102", &["syslog"]);
        check("app-20260102.log", &["app.log"]);
        check("app.log-2026-01-02T03:04:05Z", &["app.log"]);
        check("app.log.12", &["app.log"]);
        check("app.log.old", &["app.log"]);
        check("app.log", &[]);
        check("1", &[]);
        check("app1.log", &[]);
    }
}
