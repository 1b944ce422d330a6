//! Questions between aggregators: one stream, one question, one answer.
//!
//! Room: `link`.  May use: `proto`.  Used by: `connection`.
//!
//! On the wire: `len u32 le | question [u8; len]`, then the asker finishes its side; the answer is
//! everything until the other side finishes. No answer is a reset of the stream.

use std::time::Duration;

use bytes::Bytes;
use muster_proto::limits::{ANSWER_BYTES_MAX, ASK_BYTES_MAX};
use quinn::{ReadToEndError, RecvStream, SendStream};

use crate::connection::Connection;
use crate::error::{Close, LinkError};

/// A question whose bytes do not come within this time is abandoned.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the lanes' state and metrics, above logs: a page of results is somebody waiting.
const ASK_PRIORITY: i32 = 2;

/// A question of the peer. Dropping it without a reply tells the asker that there is none.
pub struct Ask {
    /// What is asked.
    pub question: Vec<u8>,
    stream: SendStream,
    replied: bool,
    _connection: Connection,
}

impl Ask {
    /// Sends the whole answer.
    ///
    /// # Errors
    /// [`LinkError::TooLong`] over `ANSWER_BYTES_MAX`; [`LinkError::StreamAbandoned`] when the asker
    /// does not wait any more; the connection's end.
    pub async fn reply(mut self, answer: impl Into<Bytes>) -> Result<(), LinkError> {
        let answer = answer.into();
        if answer.len() > ANSWER_BYTES_MAX {
            let (what, len, limit) = ("an answer", answer.len(), ANSWER_BYTES_MAX);
            return Err(LinkError::TooLong { what, len, limit });
        }
        self.stream.write_chunk(answer).await?;
        let _ = self.stream.finish();
        self.replied = true;
        Ok(())
    }

    /// Waits until the asker does not want the answer any more, or the connection has ended.
    pub async fn given_up(&mut self) {
        let _ = self.stream.stopped().await;
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        // A reset would take back what was written and not yet received.
        if !self.replied {
            let _ = self.stream.reset(Close::Refused.code());
        }
    }
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ask({} bytes)", self.question.len())
    }
}

pub(crate) async fn ask(connection: &Connection, question: &[u8]) -> Result<Vec<u8>, LinkError> {
    let len = question.len();
    let word = u32::try_from(len).ok().filter(|_| len <= ASK_BYTES_MAX);
    let word = word.ok_or(LinkError::TooLong { what: "a question", len, limit: ASK_BYTES_MAX })?;
    let (mut send, mut recv) = connection.0.quic.open_bi().await?;
    let _ = send.set_priority(ASK_PRIORITY);
    let mut framed = Vec::with_capacity(4 + len);
    framed.extend_from_slice(&word.to_le_bytes());
    framed.extend_from_slice(question);
    send.write_chunk(Bytes::from(framed)).await?;
    let _ = send.finish();
    match recv.read_to_end(ANSWER_BYTES_MAX).await {
        Ok(answer) => Ok(answer),
        Err(ReadToEndError::Read(error)) => Err(error.into()),
        Err(ReadToEndError::TooLong) => Err(LinkError::protocol("an answer is over its limit")),
    }
}

/// Reads a question. `None`: it was bad or slow, and its asker was told so.
pub(crate) async fn read(
    connection: &Connection,
    (mut send, mut recv): (SendStream, RecvStream),
) -> Result<Option<Ask>, LinkError> {
    let whole = tokio::time::timeout(QUESTION_TIMEOUT, recv.read_to_end(4 + ASK_BYTES_MAX)).await;
    let question = match whole {
        Ok(Ok(framed)) => parse_question(framed),
        Ok(Err(ReadToEndError::Read(quinn::ReadError::ConnectionLost(error)))) => {
            return Err(error.into());
        }
        Ok(Err(_)) | Err(_) => None,
    };
    let _ = send.set_priority(ASK_PRIORITY);
    let Some(question) = question else {
        let _ = send.reset(Close::Protocol.code());
        return Ok(None);
    };
    Ok(Some(Ask { question, stream: send, replied: false, _connection: connection.clone() }))
}

fn parse_question(mut framed: Vec<u8>) -> Option<Vec<u8>> {
    let (word, question) = framed.split_first_chunk()?;
    if u32::from_le_bytes(*word) as usize != question.len() {
        return None;
    }
    framed.drain(..4);
    Some(framed)
}
