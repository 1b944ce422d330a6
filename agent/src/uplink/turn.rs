//! One turn of one lane: read frames from the spool, write them to the live connection.

use std::sync::Arc;

use bytes::Bytes;
use muster_link::{Connection, LaneTx, LinkError};
use muster_proto::frame::Header;
use muster_proto::ids::Seq;
use muster_proto::lane::Lane;
use muster_proto::talk::dict::SentDict;
use muster_proto::talk::uplink::Sent;
use muster_spool::{Entry, ReadError};
use tokio::sync::mpsc;

use crate::lanes::LaneBoard;

/// What the pump ordered.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Connection life.
    pub life: u64,
    /// Which lane.
    pub lane: Lane,
    /// First seq.
    pub from: Seq,
    /// Bytes of whole frames.
    pub bytes_max: u64,
}

/// What a turn tells the pump.
#[derive(Debug)]
pub enum TurnTold {
    /// A frame was written.
    Sent(Sent),
    /// The spool has lost these.
    Missing {
        /// Which lane.
        lane: Lane,
        /// First.
        from: Seq,
        /// Last.
        to: Seq,
    },
    /// The turn is over; `writer` goes back for the next one.
    Done {
        /// Connection life.
        life: u64,
        /// Which lane.
        lane: Lane,
        /// Length of the frame that did not fit, or 0.
        next_bytes: u64,
        /// The lane's stream, when it is still good.
        writer: Option<Box<LaneWriter>>,
    },
}

/// One lane's stream on one connection, and the dict that was sent on it last.
pub struct LaneWriter {
    tx: LaneTx,
    sent_dict: SentDict,
    board: Arc<LaneBoard>,
}

impl std::fmt::Debug for LaneWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneWriter").field("lane", &self.board.lane).finish_non_exhaustive()
    }
}

impl LaneWriter {
    /// Opens the lane's stream.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn open(
        connection: &Connection,
        board: Arc<LaneBoard>,
    ) -> Result<LaneWriter, LinkError> {
        let tx = connection.open_lane(board.lane).await?;
        Ok(LaneWriter { tx, sent_dict: SentDict::default(), board })
    }

    async fn write(&mut self, entry: Entry) -> Result<(), LinkError> {
        let dict = Header::parse(&entry.bytes).map_or(0, |header| header.dict);
        if self.sent_dict.is_due(dict)
            && let Some(frame) = self.board.dict(dict)
        {
            self.tx.write(Bytes::copy_from_slice(&frame)).await?;
            self.sent_dict.on_sent(dict);
        }
        self.tx.write(Bytes::from(entry.bytes)).await
    }
}

/// Does one turn. A broken stream ends it without the writer; the connection is about to end then.
pub async fn run(
    job: Job,
    connection: Connection,
    writer: Option<Box<LaneWriter>>,
    board: Arc<LaneBoard>,
    tell: mpsc::UnboundedSender<TurnTold>,
) {
    let mut next_bytes = 0;
    let writer = match ready(writer, &connection, &board).await {
        Ok(mut writer) => match send(job, &mut writer, &tell).await {
            Ok(left) => {
                next_bytes = left;
                Some(writer)
            }
            Err(_) => None,
        },
        Err(_) => None,
    };
    let _ = tell.send(TurnTold::Done { life: job.life, lane: job.lane, next_bytes, writer });
}

async fn ready(
    writer: Option<Box<LaneWriter>>,
    connection: &Connection,
    board: &Arc<LaneBoard>,
) -> Result<Box<LaneWriter>, LinkError> {
    match writer {
        Some(writer) => Ok(writer),
        None => Ok(Box::new(LaneWriter::open(connection, board.clone()).await?)),
    }
}

async fn send(
    job: Job,
    writer: &mut LaneWriter,
    tell: &mpsc::UnboundedSender<TurnTold>,
) -> Result<u64, LinkError> {
    let mut left = job.bytes_max;
    for entry in read(job, &writer.board, tell).await {
        let bytes = entry.bytes.len() as u64;
        if bytes > left {
            return Ok(bytes);
        }
        left -= bytes;
        let sent = Sent { life: job.life, lane: job.lane, seq: Seq(entry.seq), bytes };
        writer.write(entry).await?;
        let _ = tell.send(TurnTold::Sent(sent));
    }
    Ok(0)
}

/// Reads in a blocking thread: a disk that hangs must not hold up acks and other lanes.
async fn read(
    job: Job,
    board: &Arc<LaneBoard>,
    tell: &mpsc::UnboundedSender<TurnTold>,
) -> Vec<Entry> {
    let board = board.clone();
    let bytes_max = usize::try_from(job.bytes_max).unwrap_or(usize::MAX);
    let read = tokio::task::spawn_blocking(move || board.read(job.from, bytes_max)).await;
    match read {
        Ok(Ok(entries)) => entries,
        Ok(Err(ReadError::Missing { from, to })) => {
            let missing = TurnTold::Missing { lane: job.lane, from: Seq(from), to: Seq(to) };
            let _ = tell.send(missing);
            Vec::new()
        }
        Ok(Err(error)) => {
            tracing::error!(lane = %job.lane, error = muster_proto::errors::chain(&error), "The spool cannot be read.");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}
