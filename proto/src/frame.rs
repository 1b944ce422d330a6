//! Frames: the envelope that is carried byte for byte from the host to the sinks.
//!
//! ```text
//! offset size  field        all integers little-endian
//!      0    4  magic        "MSTR"
//!      4    1  version      1
//!      5    1  lane         1 state, 2 metrics, 3 logs, 4 bulk
//!      6    1  kind         1 log, 2 metric, 3 state, 4 dict, 5 bulk
//!      7    1  codec        1 = one zstd frame
//!      8   16  stream       the spool directory's random id
//!     24    8  seq          position in the stream, from 1; for kind dict: the dict's number
//!     32    8  dict         number of the dict this frame needs, 0 = none
//!     40    4  records      lines, samples or state records in the body
//!     44    4  raw_len      bytes of the body after decompression
//!     48    4  body_len     bytes of the body as it stands here
//!     52    4  body_crc     CRC32C of the body as it stands here
//!     56    8  first_at     time of the earliest record, microseconds since 1970, signed
//!     64    8  last_at      time of the latest record
//!     72    4  reserved     0
//!     76    4  header_crc   CRC32C of bytes 0..76
//!     80       body         body_len bytes
//! ```
//!
//! Written by the agent's lane (once), read by the intake (header and CRC only) and by sinks.
//! A dict frame stands outside the sequence: it is sent on a connection before the first frame that
//! needs it, as often as there are connections, and is stored by `(stream, number)`.

use crate::clock::Utc;
use crate::ids::{Seq, StreamId};
use crate::lane::Lane;
use crate::limits::{FRAME_BODY_BYTES_MAX, FRAME_RAW_BYTES_MAX, FRAME_RECORDS_MAX};

const MAGIC: [u8; 4] = *b"MSTR";
const VERSION: u8 = 1;
const CODEC_ZSTD: u8 = 1;
/// zstd level of every body: measured best in lines per CPU-second at this block size.
const ZSTD_LEVEL: i32 = 1;

/// What a frame's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// [`crate::log`]
    Log = 1,
    /// [`crate::metric`], scrapes
    Metric = 2,
    /// [`crate::state`]
    State = 3,
    /// [`crate::metric`], the series table and base values that metric frames need
    Dict = 4,
    /// A file.
    Bulk = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Log, Kind::Metric, Kind::State, Kind::Dict, Kind::Bulk]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Why bytes are not a frame. Nothing of the frame may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than the header, or than the header announces.
    #[error("frame is cut short: {have} bytes of {need}")]
    Short {
        /// Bytes at hand.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// Not a frame at all.
    #[error("frame does not begin with the magic")]
    Magic,
    /// A newer format.
    #[error("frame version {0} is not known here")]
    Version(u8),
    /// A byte that names something has an unknown value.
    #[error("frame field {field} has the unknown value {value}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: u8,
    },
    /// A length is over its limit.
    #[error("frame field {field} is {value}, over the limit of {limit}")]
    Limit {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The header's checksum is wrong.
    #[error("frame header checksum is wrong")]
    HeaderCrc,
    /// The body's checksum is wrong.
    #[error("frame body checksum is wrong")]
    BodyCrc,
    /// The body does not decompress to exactly `raw_len` bytes.
    #[error("frame body does not decompress to the announced length")]
    Inflate,
}

/// The fixed part of a frame. See the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Lane it travels on.
    pub lane: Lane,
    /// What the body is.
    pub kind: Kind,
    /// Stream it belongs to.
    pub stream: StreamId,
    /// Position in the stream; for a dict its number.
    pub seq: Seq,
    /// Dict it needs; 0 = none.
    pub dict: u64,
    /// Records in the body.
    pub records: u32,
    /// Bytes of the body after decompression.
    pub raw_len: u32,
    /// Bytes of the body as sent.
    pub body_len: u32,
    /// CRC32C of the body as sent.
    pub body_crc: u32,
    /// Earliest record.
    pub first_at: Utc,
    /// Latest record.
    pub last_at: Utc,
}

impl Header {
    /// Length of an encoded header, bytes.
    pub const BYTES: usize = 80;

    /// Length of the whole frame, bytes.
    pub fn frame_len(&self) -> usize {
        Header::BYTES + self.body_len as usize
    }

    /// The header as bytes.
    pub fn encode(&self) -> [u8; Header::BYTES] {
        let mut out = [0; Header::BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4] = VERSION;
        out[5] = self.lane as u8;
        out[6] = self.kind as u8;
        out[7] = CODEC_ZSTD;
        out[8..24].copy_from_slice(&self.stream.0);
        out[24..32].copy_from_slice(&self.seq.0.to_le_bytes());
        out[32..40].copy_from_slice(&self.dict.to_le_bytes());
        out[40..44].copy_from_slice(&self.records.to_le_bytes());
        out[44..48].copy_from_slice(&self.raw_len.to_le_bytes());
        out[48..52].copy_from_slice(&self.body_len.to_le_bytes());
        out[52..56].copy_from_slice(&self.body_crc.to_le_bytes());
        out[56..64].copy_from_slice(&self.first_at.0.to_le_bytes());
        out[64..72].copy_from_slice(&self.last_at.0.to_le_bytes());
        let crc = crc32c::crc32c(&out[..76]);
        out[76..80].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header from the beginning of `bytes` and checks every field against its limit.
    ///
    /// # Errors
    /// Any [`FrameError`] but `BodyCrc` and `Inflate`. Bytes after the header are not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Header, FrameError> {
        let head: &[u8; Header::BYTES] = bytes
            .first_chunk()
            .ok_or(FrameError::Short { have: bytes.len(), need: Header::BYTES })?;
        if head[0..4] != MAGIC {
            return Err(FrameError::Magic);
        }
        if u32_at(head, 76) != crc32c::crc32c(&head[..76]) {
            return Err(FrameError::HeaderCrc);
        }
        if head[4] != VERSION {
            return Err(FrameError::Version(head[4]));
        }
        let field = |field, value| FrameError::Field { field, value };
        if head[7] != CODEC_ZSTD {
            return Err(field("codec", head[7]));
        }
        let mut stream = [0; 16];
        stream.copy_from_slice(&head[8..24]);
        let header = Header {
            lane: Lane::from_byte(head[5]).ok_or(field("lane", head[5]))?,
            kind: Kind::from_byte(head[6]).ok_or(field("kind", head[6]))?,
            stream: StreamId(stream),
            seq: Seq(u64_at(head, 24)),
            dict: u64_at(head, 32),
            records: u32_at(head, 40),
            raw_len: u32_at(head, 44),
            body_len: u32_at(head, 48),
            body_crc: u32_at(head, 52),
            first_at: Utc(u64_at(head, 56).cast_signed()),
            last_at: Utc(u64_at(head, 64).cast_signed()),
        };
        header.within_limits()?;
        Ok(header)
    }

    fn within_limits(&self) -> Result<(), FrameError> {
        let limits = [
            ("body_len", self.body_len, FRAME_BODY_BYTES_MAX),
            ("raw_len", self.raw_len, FRAME_RAW_BYTES_MAX),
            ("records", self.records, FRAME_RECORDS_MAX),
        ];
        for (field, value, limit) in limits {
            if value as usize > limit {
                return Err(FrameError::Limit {
                    field,
                    value: u64::from(value),
                    limit: limit as u64,
                });
            }
        }
        Ok(())
    }
}

/// Splits `frame` into its header and its body and checks both checksums.
///
/// # Errors
/// Any [`FrameError`] but `Inflate`.
pub fn open(frame: &[u8]) -> Result<(Header, &[u8]), FrameError> {
    let header = Header::parse(frame)?;
    let body = frame
        .get(Header::BYTES..header.frame_len())
        .ok_or(FrameError::Short { have: frame.len(), need: header.frame_len() })?;
    if crc32c::crc32c(body) != header.body_crc {
        return Err(FrameError::BodyCrc);
    }
    Ok((header, body))
}

/// Decompresses a body into `raw`, which then holds exactly `raw_len` bytes.
///
/// # Errors
/// [`FrameError::Inflate`] when the body is not one zstd frame of that length. Never inflates more
/// than `FRAME_RAW_BYTES_MAX`.
pub fn inflate(header: &Header, body: &[u8], raw: &mut Vec<u8>) -> Result<(), FrameError> {
    raw.clear();
    raw.reserve_exact(header.raw_len as usize);
    let inflated = zstd::bulk::Decompressor::new()
        .and_then(|mut zstd| zstd.decompress_to_buffer(body, raw))
        .map_err(|_| FrameError::Inflate)?;
    if inflated != header.raw_len as usize {
        return Err(FrameError::Inflate);
    }
    Ok(())
}

/// What the sealer knows of a body besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyFacts {
    /// What the body is.
    pub kind: Kind,
    /// Dict it needs; 0 = none.
    pub dict: u64,
    /// Records in it.
    pub records: u32,
    /// Earliest record.
    pub first_at: Utc,
    /// Latest record.
    pub last_at: Utc,
}

/// A compressed, checksummed body that waits for its place in a stream.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// What it is.
    pub facts: BodyFacts,
    /// Length before compression, bytes.
    pub raw_len: u32,
    /// CRC32C of `body`.
    pub body_crc: u32,
    /// One zstd frame.
    pub body: Vec<u8>,
}

impl Sealed {
    /// The header that makes this body frame `seq` of `stream`. The frame is header, then body.
    pub fn header(&self, lane: Lane, stream: StreamId, seq: Seq) -> Header {
        Header {
            lane,
            kind: self.facts.kind,
            stream,
            seq,
            dict: self.facts.dict,
            records: self.facts.records,
            raw_len: self.raw_len,
            body_len: self.body.len() as u32,
            body_crc: self.body_crc,
            first_at: self.facts.first_at,
            last_at: self.facts.last_at,
        }
    }
}

/// Why a body cannot be sealed: the caller put too much into it.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// More raw bytes, records or compressed bytes than a frame may hold.
    #[error("{field} of the body is {value}, over the limit of {limit}")]
    Limit {
        /// Which.
        field: &'static str,
        /// What it is.
        value: usize,
        /// What is allowed.
        limit: usize,
    },
    /// zstd refused; it does so only when memory runs out.
    #[error("cannot compress the body")]
    Compress(#[source] std::io::Error),
}

/// Compresses bodies; keeps zstd's working memory between calls.
pub struct Sealer {
    zstd: zstd::bulk::Compressor<'static>,
}

impl Sealer {
    /// A sealer with its own compression context (about 1 MiB).
    ///
    /// # Errors
    /// [`SealError::Compress`] when memory runs out.
    pub fn new() -> Result<Sealer, SealError> {
        let zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(SealError::Compress)?;
        Ok(Sealer { zstd })
    }

    /// Compresses `raw` and takes its checksum.
    ///
    /// # Errors
    /// [`SealError`]; `raw` is untouched and may be split by the caller.
    pub fn seal(&mut self, facts: BodyFacts, raw: &[u8]) -> Result<Sealed, SealError> {
        within("raw bytes", raw.len(), FRAME_RAW_BYTES_MAX)?;
        within("records", facts.records as usize, FRAME_RECORDS_MAX)?;
        let body = self.zstd.compress(raw).map_err(SealError::Compress)?;
        within("compressed bytes", body.len(), FRAME_BODY_BYTES_MAX)?;
        let body_crc = crc32c::crc32c(&body);
        Ok(Sealed { facts, raw_len: raw.len() as u32, body_crc, body })
    }
}

fn within(field: &'static str, value: usize, limit: usize) -> Result<(), SealError> {
    if value > limit {
        return Err(SealError::Limit { field, value, limit });
    }
    Ok(())
}

fn u32_at(bytes: &[u8; Header::BYTES], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8; Header::BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
