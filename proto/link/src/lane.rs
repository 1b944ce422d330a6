//! Lanes: one ordered stream of frames each, carried byte for byte.
//!
//! Room: `link`.  May use: `proto`.  Used by: `connection`, the programs.
//! Invariant: what [`LaneRx::next`] hands out has a valid header, keeps every limit and has a
//! correct checksum. Nothing is inflated here.

use bytes::Bytes;
use muster_proto::frame::{self, FrameError, Header};
use muster_proto::lane::Lane;
use quinn::{RecvStream, SendStream};

use crate::connection::Connection;
use crate::error::{Close, LinkError};
use crate::intake::Intake;

/// The sending end of a lane.
pub struct LaneTx {
    stream: SendStream,
    _connection: Connection,
}

impl LaneTx {
    pub(crate) fn new(connection: Connection, stream: SendStream) -> LaneTx {
        LaneTx { stream, _connection: connection }
    }

    /// Sends a whole frame, or part of one. Waits while the windows are full. Copies nothing.
    ///
    /// Not cancel safe: whoever gives up waiting in the middle of a frame drops the lane.
    ///
    /// # Errors
    /// [`LinkError::StreamAbandoned`] when the peer does not want this lane; the connection's end.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), LinkError> {
        Ok(self.stream.write_chunk(bytes).await?)
    }

    /// Sends several parts in one go, as with [`LaneTx::write`]. The parts are taken out of `parts`.
    ///
    /// # Errors
    /// As [`LaneTx::write`].
    pub async fn write_parts(&mut self, parts: &mut [Bytes]) -> Result<(), LinkError> {
        Ok(self.stream.write_all_chunks(parts).await?)
    }

    /// Says that no more frames come. The peer's [`LaneRx::next`] then gives `None`.
    pub fn finish(&mut self) {
        // The only failure is that the stream has ended already.
        let _ = self.stream.finish();
    }

    /// Waits until the peer has received everything after [`LaneTx::finish`], or has stopped reading.
    ///
    /// # Errors
    /// [`LinkError::StreamAbandoned`], the connection's end.
    pub async fn finished(&mut self) -> Result<(), LinkError> {
        match self.stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(LinkError::StreamAbandoned(Close::Normal)),
            Err(quinn::StoppedError::ConnectionLost(error)) => Err(error.into()),
            Err(error) => Err(LinkError::protocol(error.to_string())),
        }
    }
}

/// A frame as it came.
#[derive(Debug, Clone)]
pub struct LaneFrame {
    /// Its header, checked.
    pub header: Header,
    /// The whole frame, header included.
    pub bytes: Bytes,
}

/// The receiving end of a lane.
pub struct LaneRx {
    intake: Intake,
    lane: Option<Lane>,
    _connection: Connection,
}

impl LaneRx {
    pub(crate) fn new(connection: Connection, stream: RecvStream) -> LaneRx {
        LaneRx { intake: Intake::new(stream), lane: None, _connection: connection }
    }

    /// Which lane it is, known from the first frame on.
    pub fn lane(&self) -> Option<Lane> {
        self.lane
    }

    /// The next frame; `None` when the peer has said that no more come. Cancel safe.
    ///
    /// # Errors
    /// [`LinkError::Frame`] for a bad header or checksum, [`LinkError::Protocol`] when the stream
    /// ends inside a frame or changes its lane: close the connection then. The connection's end.
    pub async fn next(&mut self) -> Result<Option<LaneFrame>, LinkError> {
        let Some(head) = self.intake.fill(Header::BYTES).await? else { return Ok(None) };
        let header = Header::parse(head)?;
        if *self.lane.get_or_insert(header.lane) != header.lane {
            return Err(LinkError::protocol("a lane changes its name"));
        }
        if self.intake.fill(header.frame_len()).await?.is_none() {
            return Ok(None);
        }
        let whole = self.intake.take();
        frame::open(&whole).map_err(|error: FrameError| LinkError::Frame(error))?;
        Ok(Some(LaneFrame { header, bytes: Bytes::from(whole) }))
    }
}
