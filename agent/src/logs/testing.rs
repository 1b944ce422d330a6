//! Doors to the decoders of this room for fuzz targets.
//!
//! Room: `logs`.  Used by: tests only.

use super::export::Parser;
use super::hash::hash64;

/// Feeds a journal in the export format to the parser, `piece_bytes` at a time; the number of
/// entries, and the most bytes that one of them kept.
pub fn read_export(bytes: &[u8], piece_bytes: usize) -> (usize, usize) {
    let (mut entries, mut bytes_max) = (0, 0);
    let mut parser = Parser::default();
    for piece in bytes.chunks(piece_bytes.max(1)) {
        parser.feed(piece, &mut |entry| {
            entries += 1;
            let fields = [
                &entry.message,
                &entry.priority,
                &entry.identifier,
                &entry.unit,
                &entry.realtime,
                &entry.cursor,
            ];
            bytes_max = bytes_max.max(fields.iter().map(|field| field.len()).sum());
        });
    }
    (entries, bytes_max)
}

/// What stands at the end of a checkpoint that begins with these bytes.
pub fn checkpoint_sum(bytes: &[u8]) -> [u8; 8] {
    hash64(bytes).to_le_bytes()
}
