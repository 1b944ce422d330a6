//! The thread of one inbox lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_proto::errors::chain;
use muster_proto::frame::Kind;
use muster_proto::ids::{Seq, StreamId};
use muster_spool::{AppendError, Spool};
use tokio::sync::mpsc::Receiver;

use super::marks::Marks;
use super::{Arrival, Entry, InboxBoard, Stored};

/// A group is synced when it holds this much, even if more is waiting. Bytes.
const COMMIT_BYTES: u64 = 4 * 1024 * 1024;
/// Pause before a disk that refused is asked again; resumption within a second is promised.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

pub(super) struct Keeper {
    spool: Spool,
    board: Arc<InboxBoard>,
    marks: Marks,
    /// Streams of the open group and how far they come.
    raised: Vec<(StreamId, Seq)>,
    /// Confirmations that wait for the sync.
    waiting: Vec<(tokio::sync::mpsc::UnboundedSender<Stored>, Stored)>,
    group_bytes: u64,
}

impl Keeper {
    pub(super) fn new(spool: Spool, board: Arc<InboxBoard>) -> Keeper {
        let marks = Marks::restore(&spool);
        board.committed(&spool, marks.iter());
        Keeper { spool, board, marks, raised: Vec::new(), waiting: Vec::new(), group_bytes: 0 }
    }

    /// Runs until every sender is gone. While a sync runs the next group gathers in the queue.
    pub(super) fn run(mut self, mut receiver: Receiver<Arrival>) {
        while let Some(arrival) = receiver.blocking_recv() {
            self.take(&arrival);
            while self.group_bytes < COMMIT_BYTES {
                match receiver.try_recv() {
                    Ok(arrival) => self.take(&arrival),
                    Err(_) => break,
                }
            }
            self.free();
            self.commit();
        }
        self.board.close();
    }

    fn take(&mut self, arrival: &Arrival) {
        let header = &arrival.header;
        let is_dict = header.kind == Kind::Dict;
        if !is_dict && self.marks.has(header.stream, header.seq) {
            self.board.repeats.fetch_add(1, Ordering::Relaxed);
        } else {
            let head = Entry::head(&arrival.host, &arrival.datacenter);
            while let Err(error) = self.append(arrival, &head, is_dict) {
                if matches!(error, AppendError::TooLong { .. }) {
                    // Frames are bounded far below an entry's limit.
                    tracing::error!(%error, "A frame does not fit the inbox; our bug.");
                    return;
                }
                self.make_room();
            }
            self.group_bytes += arrival.frame.len() as u64;
            self.board.frames.fetch_add(1, Ordering::Relaxed);
            self.board.frame_bytes.fetch_add(arrival.frame.len() as u64, Ordering::Relaxed);
        }
        if !is_dict {
            let stored = Stored {
                lane: header.lane,
                stream: header.stream,
                seq: header.seq,
                bytes: arrival.frame.len() as u64,
            };
            self.waiting.push((arrival.stored.clone(), stored));
        }
    }

    fn append(&mut self, arrival: &Arrival, head: &[u8], is_dict: bool) -> Result<(), AppendError> {
        if !is_dict {
            let Arrival { header, .. } = arrival;
            self.marks.raise(&mut self.spool, header.stream, header.seq)?;
            self.raised.push((header.stream, header.seq));
        }
        self.spool.append(&[head, &arrival.frame])?;
        Ok(())
    }

    /// The inbox is full or the disk refuses: commit what there is, free what is read, wait.
    fn make_room(&mut self) {
        if self.group_bytes > 0 {
            self.commit();
        }
        self.free();
        self.board.refused("the inbox is full: a store is behind or the disk is full".into());
        std::thread::park_timeout(RETRY_PAUSE);
    }

    fn commit(&mut self) {
        while let Err(error) = self.spool.commit() {
            let error = chain(&error);
            tracing::error!(lane = %self.board.lane, error, "The inbox cannot be written; trying again.");
            self.board.refused(error);
            std::thread::park_timeout(RETRY_PAUSE);
            self.free();
        }
        self.group_bytes = 0;
        self.board.committed(&self.spool, self.raised.drain(..));
        for (sender, stored) in self.waiting.drain(..) {
            // The connection may be gone; its agent will ask again and hear of the mark.
            let _ = sender.send(stored);
        }
    }

    fn free(&mut self) {
        for (cursor, upto) in self.board.cursors() {
            if self.spool.cursor(cursor).is_some_and(|at| at >= upto) {
                continue;
            }
            if let Err(error) = self.spool.advance(cursor, upto) {
                tracing::warn!(cursor, %error, "An inbox segment could not be freed.");
            }
        }
        self.board.freed(&self.spool);
    }
}
