//! Reading one open file from a position into a block. The impure half of `tail.rs`.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use memchr::{memchr, memrchr};
use muster_proto::clock::Utc;
use muster_proto::frame::{SealError, Sealed, Sealer};
use muster_proto::limits::{LOG_LINE_BYTES_MAX, LOG_READ_BYTES};
use muster_proto::log::{FLAG_CUT, FLAG_PARTIAL, FLAG_READ_TIME, LogBlock, LogSource, SourceKind};
use nix::sys::uio::preadv;

use super::limits::{HEAD_BYTES, TAIL_BYTES, TURN_BYTES};
use super::tail::{FileKey, Mark, Position};

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The file has had its share; there may be more.
    More,
    /// The block must be sealed first.
    Full,
    /// Nothing more to read now. `partial`: bytes wait for their newline.
    AtEnd {
        /// There are bytes without a newline.
        partial: bool,
    },
    /// The bytes before the position are not those that were read.
    Rewritten,
}

/// What a turn did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gain {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) cut: u64,
    pub(super) nul_bytes: u64,
}

/// Where the lines of a turn go.
pub(super) struct Into<'a> {
    pub(super) block: &'a mut LogBlock,
    pub(super) source: &'a LogSource,
    pub(super) at: Utc,
}

/// Reads up to `TURN_BYTES` of whole lines and moves the position over them.
pub(super) fn read_turn(
    file: &File,
    position: &mut Position,
    into: &mut Into<'_>,
    gain: &mut Gain,
) -> io::Result<Turn> {
    let mut before = [0; TAIL_BYTES];
    let first = position.offset;
    loop {
        if into.block.is_full() {
            return Ok(Turn::Full);
        }
        if position.offset - first >= TURN_BYTES {
            return Ok(Turn::More);
        }
        let before = &mut before[..usize::from(position.tail.len)];
        into.block.drop_tail();
        let Some(fresh) = read_on(file, position, before, into.block)? else {
            return Ok(Turn::Rewritten);
        };
        if fresh == 0 {
            return Ok(Turn::AtEnd { partial: false });
        }
        if let Some(end) = take_fresh(file, position, (before, fresh), into, gain)? {
            return Ok(end);
        }
    }
}

/// One system call reads the bytes before the position, to be compared, and those after it.
/// `None` when they are not the ones that were read.
fn read_on(
    file: &File,
    position: &Position,
    before: &mut [u8],
    block: &mut LogBlock,
) -> io::Result<Option<usize>> {
    let from = position.offset - before.len() as u64;
    let room = block.room(LOG_READ_BYTES);
    let mut parts = [IoSliceMut::new(before), IoSliceMut::new(room)];
    let read = preadv(file, &mut parts, from.cast_signed())?;
    let Some(fresh) = read.checked_sub(before.len()) else { return Ok(None) };
    if !position.continues(before) {
        return Ok(None);
    }
    block.filled(fresh);
    Ok(Some(fresh))
}

/// Makes lines of what was read; `Some` when the turn ends with it.
fn take_fresh(
    file: &File,
    position: &mut Position,
    read: (&[u8], usize),
    into: &mut Into<'_>,
    gain: &mut Gain,
) -> io::Result<Option<Turn>> {
    let (before, fresh) = read;
    let block = &mut *into.block;
    if position.skipping {
        let rest = memchr(b'\n', block.tail());
        let rest_len = rest.map_or(fresh, |newline| newline + 1);
        position.advance(before, &block.tail()[..rest_len]);
        position.skipping = rest.is_none();
        return Ok(None);
    }
    let nuls = leading_nuls(block.tail());
    if nuls > 0 {
        position.advance(before, &block.tail()[..nuls]);
        gain.nul_bytes += nuls as u64;
        return Ok(None);
    }
    let mut end = memrchr(b'\n', block.tail());
    if end.is_none() && fresh == LOG_READ_BYTES {
        end = read_long(file, position.offset, block)?;
    }
    let source = block.source(into.source);
    let Some(newline) = end else {
        if block.tail_bytes() <= LOG_LINE_BYTES_MAX {
            block.drop_tail();
            return Ok(Some(Turn::AtEnd { partial: true }));
        }
        position.advance(before, block.tail());
        position.skipping = true;
        gain.bytes += LOG_LINE_BYTES_MAX as u64;
        gain.lines += 1;
        gain.cut += 1;
        block.index_tail(source, into.at, FLAG_READ_TIME | FLAG_CUT);
        return Ok(None);
    };
    let tail_bytes = block.tail_bytes();
    position.advance(before, &block.tail()[..=newline]);
    let found = block.index_lines(source, into.at, FLAG_READ_TIME);
    block.drop_tail();
    gain.bytes += newline as u64 + 1;
    gain.lines += u64::from(found.lines);
    gain.cut += u64::from(found.cut);
    gain.nul_bytes += found.nul_bytes as u64;
    let short = fresh < LOG_READ_BYTES;
    Ok(short.then_some(Turn::AtEnd { partial: newline + 1 < tail_bytes }))
}

/// The tail is one long line: reads on until its newline, its limit or the end of the file.
fn read_long(file: &File, offset: u64, block: &mut LogBlock) -> io::Result<Option<usize>> {
    while block.tail_bytes() <= LOG_LINE_BYTES_MAX {
        let have = block.tail_bytes();
        let read = file.read_at(block.room(LOG_READ_BYTES), offset + have as u64)?;
        if read == 0 {
            return Ok(None);
        }
        block.filled(read);
        if let Some(newline) = memrchr(b'\n', &block.tail()[have..]) {
            return Ok(Some(have + newline));
        }
    }
    Ok(None)
}

/// Takes what stands behind the last newline of a finished file as a line.
pub(super) fn read_partial(
    file: &File,
    position: &mut Position,
    into: &mut Into<'_>,
) -> io::Result<bool> {
    let mut before = [0; TAIL_BYTES];
    let before = &mut before[..usize::from(position.tail.len)];
    into.block.drop_tail();
    if read_on(file, position, before, into.block)?.is_none_or(|fresh| fresh == 0) {
        return Ok(false);
    }
    if into.block.tail_bytes() == LOG_READ_BYTES {
        read_long(file, position.offset, into.block)?;
    }
    position.advance(before, into.block.tail());
    let source = into.block.source(into.source);
    Ok(into.block.index_tail(source, into.at, FLAG_READ_TIME | FLAG_PARTIAL))
}

fn leading_nuls(bytes: &[u8]) -> usize {
    if bytes.first() != Some(&0) {
        return 0;
    }
    let words = bytes.chunks(64).take_while(|word| **word == [0; 64][..word.len()]).count() * 64;
    let words = words.min(bytes.len());
    words + bytes[words..].iter().take_while(|byte| **byte == 0).count()
}

/// True when `file` can be read on from `position`: its first bytes and those before it are the same.
pub(super) fn continues(file: &File, position: &Position) -> io::Result<bool> {
    let mut bytes = [0; TAIL_BYTES];
    let head = &mut bytes[..usize::from(position.head.len)];
    if !read_exact_at(file, head, 0)? || Mark::of(head) != position.head {
        return Ok(false);
    }
    let tail = &mut bytes[..usize::from(position.tail.len)];
    let from = position.offset - tail.len() as u64;
    Ok(read_exact_at(file, tail, from)? && position.continues(tail))
}

/// The position behind byte `offset` of a file that is at least so long.
pub(super) fn position_at(file: &File, offset: u64) -> io::Result<Option<Position>> {
    let mut bytes = [0; TAIL_BYTES];
    let head = &mut bytes[..offset.min(HEAD_BYTES as u64) as usize];
    if !read_exact_at(file, head, 0)? {
        return Ok(None);
    }
    let head = Mark::of(head);
    let tail = &mut bytes[..offset.min(TAIL_BYTES as u64) as usize];
    if !read_exact_at(file, tail, offset - tail.len() as u64)? {
        return Ok(None);
    }
    Ok(Some(Position { offset, head, tail: Mark::of(tail), skipping: false }))
}

fn read_exact_at(file: &File, into: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(into, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the kernel says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) key: FileKey,
    pub(super) birth: i64,
    pub(super) size: u64,
    pub(super) links: u64,
}

impl Facts {
    /// The facts in a `stat`.
    pub(super) fn of(meta: &std::fs::Metadata) -> Facts {
        let birth =
            meta.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Facts {
            key: FileKey { dev: meta.dev(), ino: meta.ino() },
            birth: birth.map_or(0, |birth| birth.as_micros() as i64),
            size: meta.len(),
            links: meta.nlink(),
        }
    }
}

/// Opens a regular file for reading. A fifo that took its place does not block us.
pub(super) fn open(path: &Path) -> io::Result<(File, Facts)> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    Ok((file, Facts::of(&meta)))
}

/// Reads a whole file through a block and a sealer, as the room's thread does: for benches.
///
/// # Errors
/// What reading or sealing says; sealing errors are wrapped.
pub fn read_through(path: &Path, at: Utc, sink: &mut dyn FnMut(Sealed)) -> io::Result<u64> {
    let sealing = |error: SealError| io::Error::other(error);
    let (file, _) = open(path)?;
    let source = LogSource {
        kind: SourceKind::File,
        name: path.to_string_lossy().into_owned(),
        program: String::new(),
        class: "system".to_owned(),
    };
    let mut sealer = Sealer::new().map_err(sealing)?;
    let mut block = LogBlock::new();
    let (mut position, mut gain) = (Position::default(), Gain::default());
    loop {
        let mut into = Into { block: &mut block, source: &source, at };
        let turn = read_turn(&file, &mut position, &mut into, &mut gain)?;
        if matches!(turn, Turn::Full | Turn::AtEnd { .. })
            && let Some(sealed) = block.seal(&mut sealer).map_err(sealing)?
        {
            sink(sealed);
        }
        match turn {
            Turn::AtEnd { .. } => return Ok(gain.lines),
            Turn::Rewritten => return Err(io::Error::other("the file changed while it was read")),
            Turn::Full | Turn::More => {}
        }
    }
}
