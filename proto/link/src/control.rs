//! The control stream: short messages, each `len u32 le | CBOR [u8; len]`.
//!
//! Room: `link`.  May use: `proto`.  Used by: `connection`, the programs.

use bytes::Bytes;
use muster_proto::limits::CONTROL_BYTES_MAX;
use quinn::{RecvStream, SendStream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cbor;
use crate::connection::Connection;
use crate::error::LinkError;
use crate::intake::Intake;

/// Our half of the conversation.
pub struct ControlTx {
    stream: SendStream,
    _connection: Connection,
}

impl ControlTx {
    pub(crate) fn new(connection: Connection, stream: SendStream) -> ControlTx {
        ControlTx { stream, _connection: connection }
    }

    /// Sends one message. Waits while the peer does not read.
    ///
    /// Not cancel safe: a message of which a part was sent makes the rest of the stream unreadable,
    /// so whoever gives up waiting closes the connection.
    ///
    /// # Errors
    /// [`LinkError::TooLong`] over `CONTROL_BYTES_MAX` and [`LinkError::Encode`], with nothing sent;
    /// the end of the stream or connection.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), LinkError> {
        let framed = cbor::encode_framed(message, "a control message", CONTROL_BYTES_MAX)?;
        Ok(self.stream.write_chunk(Bytes::from(framed)).await?)
    }

    /// Sends bytes as they are. Only for tests, to play a peer that breaks the rules.
    ///
    /// # Errors
    /// The end of the stream or connection.
    #[doc(hidden)]
    pub async fn write_raw(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Says that nothing more comes. The peer's [`ControlRx::recv`] then gives `None`.
    pub fn finish(&mut self) {
        // The only failure is that the stream has ended already.
        let _ = self.stream.finish();
    }
}

/// The peer's half of the conversation.
pub struct ControlRx {
    intake: Intake,
    _connection: Connection,
}

impl ControlRx {
    pub(crate) fn new(connection: Connection, stream: RecvStream) -> ControlRx {
        ControlRx { intake: Intake::new(stream), _connection: connection }
    }

    /// The next message; `None` when the peer has said that nothing more comes. Cancel safe.
    ///
    /// # Errors
    /// [`LinkError::Protocol`] when the bytes are not a message of this type within the limits of
    /// length and depth: close the connection then. The end of the stream or connection.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LinkError> {
        let Some(head) = self.intake.fill(4).await? else { return Ok(None) };
        let len = message_len(head)?;
        let Some(whole) = self.intake.fill(4 + len).await? else { return Ok(None) };
        let message = cbor::parse(whole.get(4..).unwrap_or_default());
        self.intake.clear();
        message.map(Some)
    }
}

fn message_len(head: &[u8]) -> Result<usize, LinkError> {
    let word = head.first_chunk().copied().unwrap_or_default();
    let len = u32::from_le_bytes(word) as usize;
    if len > CONTROL_BYTES_MAX {
        let limit = CONTROL_BYTES_MAX;
        return Err(LinkError::protocol(format!("a control message of {len} bytes, over {limit}")));
    }
    Ok(len)
}
