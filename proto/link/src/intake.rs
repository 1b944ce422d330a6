//! Reads a stream in pieces of known length, never more than was asked for, and survives cancelling.
//!
//! Room: `link`.  Used by: `control`, `lane`.
//!
//! quinn hands out slices of whole received packets (up to 64 KiB each). They are copied once into a
//! buffer of our own, because a small slice that is kept would keep its whole packet.

use bytes::{Buf, Bytes};
use quinn::RecvStream;

use crate::error::LinkError;

/// First room of a piece. Bytes. A peer that announces a large piece and sends nothing costs this much.
const ROOM_BYTES_FIRST: usize = 128 * 1024;

pub(crate) struct Intake {
    stream: RecvStream,
    chunk: Bytes,
    piece: Vec<u8>,
}

impl Intake {
    pub(crate) fn new(stream: RecvStream) -> Intake {
        Intake { stream, chunk: Bytes::new(), piece: Vec::new() }
    }

    /// Waits until the piece has `len` bytes and shows it. `None`: the stream ended before its first
    /// byte. Cancel safe: what was read stays in the piece.
    ///
    /// # Errors
    /// [`LinkError::Protocol`] when the stream ends inside the piece; the stream's or connection's end.
    pub(crate) async fn fill(&mut self, len: usize) -> Result<Option<&[u8]>, LinkError> {
        // A peer may send a million tiny pieces: let others have their turn now and then.
        tokio::task::coop::consume_budget().await;
        while self.piece.len() < len {
            if self.chunk.is_empty() {
                match self.stream.read_chunk(usize::MAX, true).await? {
                    Some(chunk) => self.chunk = chunk.bytes,
                    None if self.piece.is_empty() => return Ok(None),
                    None => return Err(LinkError::protocol("a stream ends inside a message")),
                }
            }
            let missing = len - self.piece.len();
            let here = missing.min(self.chunk.len());
            if self.piece.capacity() < len {
                self.piece.reserve(missing.min(here.max(ROOM_BYTES_FIRST)));
            }
            self.piece.extend_from_slice(&self.chunk[..here]);
            self.chunk.advance(here);
        }
        Ok(Some(&self.piece))
    }

    /// Takes the piece away; the next `fill` begins a new one.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.piece)
    }

    /// Forgets the piece and keeps its room.
    pub(crate) fn clear(&mut self) {
        self.piece.clear();
    }
}
