//! Positions as the spool keeps them: small notes committed with the lines before them. Pure.
//!
//! ```text
//! key     "log/file/" + dev, 16 hex digits + ino, 16 hex digits      or      "log/journald"
//! value   of a file, all integers little-endian
//!         version u8 = 1 | flags u8: 1 skipping, 2 rotated, 4 former present, 8 former skipping
//!         birth i64 (statx btime, microseconds, 0 unknown)
//!         position | former position, if present
//!         name: length u16, bytes | path: length u16, bytes
//!         hash64 of all bytes before, u64
//! position := offset u64 | head length u16 | head hash u64 | tail length u16 | tail hash u64
//! value   of the journal: its cursor, as journalctl printed it
//! ```
//!
//! A value that cannot be understood is ignored and counted; its file is read from the beginning.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::hash::hash64;
use super::limits::{JOURNAL_FIELD_BYTES_MAX, PARKED_MAX, PATH_BYTES_MAX};
use super::tail::{FileKey, Mark, Position};

const PREFIX: &[u8] = b"log/file/";
/// Key of the journal's cursor.
pub(super) const JOURNALD_KEY: &[u8] = b"log/journald";
const VERSION: u8 = 1;

/// What is remembered of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Saved {
    /// Birth time of the inode, microseconds since 1970; 0 when the file system does not say.
    pub(super) birth: i64,
    /// How far it was read.
    pub(super) position: Position,
    /// How far it was read before it was truncated: its copy may be found later.
    pub(super) former: Option<Position>,
    /// It is a rotated file.
    pub(super) rotated: bool,
    /// The name its lines are reported under.
    pub(super) name: String,
    /// Where it was last seen.
    pub(super) path: PathBuf,
}

/// What the notes of the spool say about log sources.
#[derive(Debug, Clone, Default)]
pub struct Checkpoints {
    pub(super) files: HashMap<FileKey, Saved>,
    pub(super) cursor: Option<String>,
    pub(super) damaged: u64,
}

impl Checkpoints {
    /// Picks the room's notes out of all notes. Damaged ones are counted and left out.
    pub fn load<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        notes: impl IntoIterator<Item = (K, V)>,
    ) -> Checkpoints {
        let mut found = Checkpoints::default();
        for (key, value) in notes {
            let (key, value) = (key.as_ref(), value.as_ref());
            if key == JOURNALD_KEY {
                found.cursor = parse_cursor(value);
                found.damaged += u64::from(found.cursor.is_none());
            } else if key.starts_with(PREFIX) {
                match parse_key(key).zip(parse_value(value)) {
                    Some((key, saved)) if found.files.len() < 2 * PARKED_MAX => {
                        found.files.insert(key, saved);
                    }
                    _ => found.damaged += 1,
                }
            }
        }
        found
    }

    /// True when the agent never read anything.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.cursor.is_none()
    }
}

/// The note key of a file.
pub(super) fn encode_key(key: FileKey) -> Vec<u8> {
    format!("log/file/{:016x}{:016x}", key.dev, key.ino).into_bytes()
}

fn parse_key(key: &[u8]) -> Option<FileKey> {
    let digits = std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?;
    if digits.len() != 32 {
        return None;
    }
    let (dev, ino) = digits.split_at_checked(16)?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(FileKey { dev: number(dev)?, ino: number(ino)? })
}

/// The note value of a file.
pub(super) fn encode_value(saved: &Saved) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let former = saved.former.unwrap_or_default();
    let flags = u8::from(saved.position.skipping)
        | u8::from(saved.rotated) << 1
        | u8::from(saved.former.is_some()) << 2
        | u8::from(former.skipping) << 3;
    out.extend_from_slice(&[VERSION, flags]);
    out.extend_from_slice(&saved.birth.to_le_bytes());
    for position in std::iter::once(&saved.position).chain(&saved.former) {
        out.extend_from_slice(&position.offset.to_le_bytes());
        for mark in [position.head, position.tail] {
            out.extend_from_slice(&mark.len.to_le_bytes());
            out.extend_from_slice(&mark.hash.to_le_bytes());
        }
    }
    for text in [saved.name.as_bytes(), saved.path.as_os_str().as_bytes()] {
        let text = &text[..text.len().min(PATH_BYTES_MAX)];
        out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        out.extend_from_slice(text);
    }
    let sum = hash64(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn parse_value(value: &[u8]) -> Option<Saved> {
    let (body, sum) = value.split_last_chunk::<8>()?;
    if u64::from_le_bytes(*sum) != hash64(body) {
        return None;
    }
    let mut rest = body;
    let [version, flags] = take(&mut rest)?;
    if version != VERSION {
        return None;
    }
    let birth = i64::from_le_bytes(take(&mut rest)?);
    let position = take_position(&mut rest, flags & 1 != 0)?;
    let former = match flags & 4 != 0 {
        true => Some(take_position(&mut rest, flags & 8 != 0)?),
        false => None,
    };
    let name = String::from_utf8_lossy(take_text(&mut rest)?).into_owned();
    let path = PathBuf::from(OsStr::from_bytes(take_text(&mut rest)?));
    rest.is_empty().then_some(Saved {
        birth,
        position,
        former,
        rotated: flags & 2 != 0,
        name,
        path,
    })
}

fn take_position(rest: &mut &[u8], skipping: bool) -> Option<Position> {
    let offset = u64::from_le_bytes(take(rest)?);
    let head = take_mark(rest)?;
    let tail = take_mark(rest)?;
    let possible = u64::from(tail.len) <= offset && u64::from(head.len) <= offset;
    possible.then_some(Position { offset, head, tail, skipping })
}

fn take_mark(rest: &mut &[u8]) -> Option<Mark> {
    let len = u16::from_le_bytes(take(rest)?);
    let hash = u64::from_le_bytes(take(rest)?);
    (usize::from(len) <= super::limits::TAIL_BYTES).then_some(Mark { len, hash })
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::from(u16::from_le_bytes(take(rest)?));
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(text)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*bytes)
}

fn parse_cursor(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let sane = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'=' | b';' | b'-');
    let fits = !text.is_empty() && text.len() <= JOURNAL_FIELD_BYTES_MAX;
    (fits && text.bytes().all(sane)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        let position = Position {
            offset: 9_000,
            head: Mark { len: 1024, hash: 7 },
            tail: Mark { len: 4096, hash: 8 },
            skipping: true,
        };
        Saved {
            birth: -5,
            position,
            former: Some(Position { skipping: false, ..position }),
            rotated: true,
            name: "/var/log/a".to_owned(),
            path: PathBuf::from(OsStr::from_bytes(b"/var/log/\xff.1")),
        }
    }

    #[test]
    fn notes_come_back() {
        let key = FileKey { dev: 0xfd01, ino: u64::MAX };
        let notes = [
            (encode_key(key), encode_value(&saved())),
            (JOURNALD_KEY.to_vec(), b"s=1f;i=2;b=3;m=4;t=5;x=6".to_vec()),
            (b"cursor/uplink".to_vec(), vec![1, 2, 3]),
        ];
        let found = Checkpoints::load(notes);
        assert_eq!(found.files, HashMap::from([(key, saved())]));
        assert_eq!(found.cursor.as_deref(), Some("s=1f;i=2;b=3;m=4;t=5;x=6"));
        assert_eq!(found.damaged, 0);
    }

    #[test]
    fn damaged_notes_are_counted_and_left_out() {
        let key = encode_key(FileKey { dev: 1, ino: 2 });
        let value = encode_value(&saved());
        let mut rng = fastrand::Rng::with_seed(9);
        for round in 0..2_000 {
            let mut bad = value.clone();
            if round % 3 == 0 {
                bad.truncate(rng.usize(0..value.len()));
            } else {
                let at = rng.usize(0..bad.len());
                bad[at] ^= 1 << rng.u32(0..8);
            }
            let found = Checkpoints::load([(&key, &bad)]);
            assert_eq!((found.files.len(), found.damaged), (0, 1));
        }
        let found = Checkpoints::load([(b"log/file/zz".as_slice(), value.as_slice())]);
        assert_eq!(found.damaged, 1);
        let found = Checkpoints::load([(JOURNALD_KEY, b"--since=\nnow".as_slice())]);
        assert_eq!((found.cursor, found.damaged), (None, 1));
    }
}
