//! Every limit of the wire and of the formats, with its unit and its reason.

/// Compressed body of one frame. Bytes. Small enough to resend on a bad line.
pub const FRAME_BODY_BYTES_MAX: usize = 1024 * 1024;
/// One frame on the wire, header included. Bytes.
pub const FRAME_BYTES_MAX: u64 = (crate::frame::Header::BYTES + FRAME_BODY_BYTES_MAX) as u64;
/// Body of one frame before compression. Bytes. Bounds what a decoder may inflate.
pub const FRAME_RAW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Records in one frame. A frame of a million empty lines is an attack, not a log.
pub const FRAME_RECORDS_MAX: usize = 256 * 1024;
/// Raw bytes of log lines collected before a frame is sealed. The zstd-1 sweet spot (ratio 4.69).
pub const LOG_BLOCK_BYTES: usize = 256 * 1024;
/// One log line. Bytes. Longer ones are cut and say so in their flags. Small enough that a block
/// whose last line is this long, and incompressible, still fits into `FRAME_BODY_BYTES_MAX`.
pub const LOG_LINE_BYTES_MAX: usize = 512 * 1024;
/// What a reader adds to a log block at a time. Bytes.
pub const LOG_READ_BYTES: usize = 128 * 1024;
/// Text of the source table of one log frame before it is sealed. Bytes.
pub const LOG_SOURCES_BYTES: usize = 32 * 1024;
/// Name of a log source: a path (`PATH_MAX`). Bytes.
pub const LOG_SOURCE_NAME_BYTES_MAX: usize = 4096;
/// Distinct sources in one log frame.
pub const LOG_SOURCES_MAX: usize = 4096;
/// Series in one metrics dictionary.
pub const SERIES_MAX: usize = 65_536;
/// Scrapes in one metrics frame.
pub const SCRAPES_MAX: usize = 4096;
/// Labels of one series.
pub const LABELS_MAX: usize = 32;
/// One control message, encoded. Bytes.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;
/// One question between aggregators, encoded. Bytes.
pub const ASK_BYTES_MAX: usize = 64 * 1024;
/// One answer between aggregators. Bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// One signed list of certificate authorities. Bytes. Ten certificates of 500 bytes, with room for longer names.
pub const ROOTS_BYTES_MAX: usize = 32 * 1024;
/// Nesting of a CBOR document from outside.
pub const CBOR_DEPTH_MAX: usize = 16;
/// A name from outside: host, datacenter, role, tag, unit, label. Bytes.
pub const NAME_BYTES_MAX: usize = 1024;
/// Free text from outside: a check's message, evidence. Bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Tags of one host.
pub const TAGS_MAX: usize = 256;
/// State records in one frame.
pub const STATE_RECORDS_MAX: usize = 16_384;
/// Frames an agent has under way and unacked over all lanes. Bytes.
pub const IN_FLIGHT_BYTES_MAX: u64 = 4 * 1024 * 1024;

// With room for the message around it.
const _: () = assert!(ROOTS_BYTES_MAX * 2 <= CONTROL_BYTES_MAX);
const _: () = assert!(LOG_BLOCK_BYTES * 4 <= FRAME_RAW_BYTES_MAX);
const _: () = assert!(LOG_LINE_BYTES_MAX + LOG_BLOCK_BYTES <= FRAME_RAW_BYTES_MAX);
const _: () = assert!(
    LOG_BLOCK_BYTES + LOG_LINE_BYTES_MAX + LOG_READ_BYTES + 2 * LOG_SOURCES_BYTES
        <= FRAME_BODY_BYTES_MAX - FRAME_BODY_BYTES_MAX / 16
);
const _: () = assert!(FRAME_RECORDS_MAX / 2 + LOG_READ_BYTES <= FRAME_RECORDS_MAX);
const _: () = assert!(IN_FLIGHT_BYTES_MAX as usize >= 2 * FRAME_BODY_BYTES_MAX);
