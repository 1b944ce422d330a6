//! The thread of one inbox lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_program::pulse::Beat;
use muster_proto::errors::chain;
use muster_proto::frame::Kind;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::talk::marks::{Marks, Offer};
use muster_spool::{AppendError, Limit, Spool};
use tokio::sync::mpsc::{Receiver, UnboundedSender};

use super::{Arrival, Entry, InboxBoard, Stored};

/// A group is synced when it holds this much, even if more is waiting. Bytes.
const COMMIT_BYTES: u64 = 4 * 1024 * 1024;
/// Pause before a disk that refused is asked again; resumption within a second is promised.
const RETRY_PAUSE: Duration = Duration::from_millis(300);
/// Notes of marks: this, then the stream. Value: seq u64 le, host.
const MARK_KEY: &[u8] = b"mark/";

pub(super) struct Keeper {
    spool: Spool,
    board: Arc<InboxBoard>,
    marks: Marks,
    /// Frames of the open group, fresh or repeated, whose connections wait for the sync.
    waiting: Vec<(UnboundedSender<Stored>, StreamId)>,
    group_bytes: u64,
    receiver: Receiver<Arrival>,
    /// The disk refused what was left when everybody had gone: nothing more is written, so that no mark covers
    /// a frame that found no room. None of it was acked, its agent has it still.
    has_given_up: bool,
    /// Says that this thread does not hang; a disk that refuses is not a hang.
    beat: Beat,
}

impl Keeper {
    pub(super) fn new(
        spool: Spool,
        board: Arc<InboxBoard>,
        receiver: Receiver<Arrival>,
        beat: Beat,
    ) -> Keeper {
        let mut marks = Marks::default();
        for (key, value) in spool.notes() {
            if let Some((stream, seq, host)) = parse_mark(key, value) {
                marks.restore(stream, host, seq);
            }
        }
        for (stream, mark) in marks.iter() {
            board.put_mark(stream, mark);
        }
        Keeper {
            spool,
            board,
            marks,
            waiting: Vec::new(),
            group_bytes: 0,
            receiver,
            has_given_up: false,
            beat,
        }
    }

    /// Runs until every sender is gone. While a sync runs the next group gathers in the queue.
    pub(super) fn run(mut self) {
        while let Some(arrival) = self.receiver.blocking_recv() {
            self.beat.works();
            if !self.wait_while_held() {
                break;
            }
            self.take(&arrival);
            while self.group_bytes < COMMIT_BYTES {
                match self.receiver.try_recv() {
                    Ok(arrival) => self.take(&arrival),
                    Err(_) => break,
                }
            }
            self.free();
            self.commit();
            self.beat.rests();
        }
        self.board.close();
    }

    /// Waits for room on the disk; what is read meanwhile is freed. False when every sender is gone: what
    /// came was not acked, its agent has it still.
    fn wait_while_held(&mut self) -> bool {
        while self.board.is_held() {
            self.beat.works();
            if self.is_alone() {
                return false;
            }
            self.free();
            std::thread::park_timeout(RETRY_PAUSE);
        }
        true
    }

    /// Every sender is gone: nobody waits for an ack any more.
    fn is_alone(&self) -> bool {
        self.receiver.sender_strong_count() == 0
    }

    fn give_up(&mut self) {
        tracing::warn!(lane = %self.board.lane, "Stopping while the inbox cannot be written; agents keep what was not acked.");
        self.has_given_up = true;
        self.waiting.clear();
    }

    fn take(&mut self, arrival: &Arrival) {
        if self.has_given_up {
            return;
        }
        let header = &arrival.header;
        if header.kind == Kind::Dict {
            return self.append(arrival);
        }
        match self.marks.offer(&arrival.host, header.stream, header.seq) {
            Offer::Fresh => {
                self.append(arrival);
                self.note_mark(header.stream, header.seq, &arrival.host);
                self.forget_marks();
            }
            Offer::Repeat => {
                self.board.repeats.fetch_add(1, Ordering::Relaxed);
            }
            // No ack will come: the agent finds this connection stuck and hears why at its next hello.
            Offer::OtherHost => return,
            Offer::Full => {
                self.board.streams_refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.waiting.push((arrival.stored.clone(), header.stream));
    }

    fn append(&mut self, arrival: &Arrival) {
        let head = Entry::head(&arrival.host, &arrival.datacenter);
        loop {
            match self.spool.append(&[&head, &arrival.frame]) {
                Ok(_) => break,
                Err(AppendError::Full { .. }) if self.has_given_up => return,
                Err(AppendError::Full { limit, .. }) => self.make_room(limit),
                Err(error) => {
                    // Frames are bounded far below an entry's limit.
                    tracing::error!(
                        error = chain(&error),
                        "A frame does not fit the inbox: our bug."
                    );
                    return;
                }
            }
        }
        let bytes = arrival.frame.len() as u64;
        self.group_bytes += bytes;
        self.board.frames.fetch_add(1, Ordering::Relaxed);
        self.board.frame_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// In the same group as the frame, which is staged already.
    fn note_mark(&mut self, stream: StreamId, seq: Seq, host: &str) {
        let key = [MARK_KEY, &stream.0].concat();
        let value = [&seq.0.to_le_bytes(), host.as_bytes()].concat();
        if let Err(error) = self.spool.note(&key, Some(&value)) {
            tracing::error!(
                error = chain(&error),
                "A mark cannot be kept: a repeat may be stored twice."
            );
        }
    }

    /// Takes out what made way for a new stream of the same host.
    fn forget_marks(&mut self) {
        for stream in self.marks.forgotten() {
            self.board.streams_forgotten.fetch_add(1, Ordering::Relaxed);
            self.board.drop_mark(stream);
            if let Err(error) = self.spool.note(&[MARK_KEY, &stream.0].concat(), None) {
                tracing::error!(error = chain(&error), "A mark cannot be removed.");
            }
        }
    }

    /// The spool takes no more. At the staging limit it only wants to write; over the budget a store is
    /// behind, and a frame waits until it has read. Marks and acks wait for the end of the group, because
    /// a mark already covers the frame that found no room.
    fn make_room(&mut self, limit: Limit) {
        self.beat.works();
        let written = self.spool.commit();
        self.free();
        self.board.show_durable(&self.spool);
        let why = match written {
            Err(error) => chain(&error),
            Ok(_) if limit == Limit::Staged => return,
            Ok(_) => "the inbox is full: a store is behind".into(),
        };
        self.board.refused(why);
        if self.is_alone() {
            return self.give_up();
        }
        std::thread::park_timeout(RETRY_PAUSE);
    }

    fn commit(&mut self) {
        while !self.has_given_up
            && let Err(error) = self.spool.commit()
        {
            self.beat.works();
            let error = chain(&error);
            tracing::error!(lane = %self.board.lane, error, "The inbox cannot be written; trying again.");
            self.board.refused(error);
            if self.is_alone() {
                self.give_up();
                break;
            }
            std::thread::park_timeout(RETRY_PAUSE);
            self.free();
        }
        if self.has_given_up {
            return;
        }
        self.group_bytes = 0;
        let moved: Vec<StreamId> = self.marks.pending().map(|(stream, _)| stream).collect();
        self.marks.on_synced();
        for stream in moved {
            if let Some(mark) = self.marks.mark(stream) {
                self.board.put_mark(stream, mark);
            }
        }
        self.board.committed(&self.spool);
        for (sender, stream) in self.waiting.drain(..) {
            let seq = self.marks.durable(stream);
            // The connection may be gone; its agent will ask again and hear of the mark.
            let _ = sender.send(Stored { lane: self.board.lane, stream, seq });
        }
    }

    fn free(&mut self) {
        for (cursor, upto) in self.board.cursors() {
            if self.spool.cursor(cursor).is_some_and(|at| at >= upto) {
                continue;
            }
            if let Err(error) = self.spool.advance(cursor, upto) {
                tracing::warn!(
                    cursor,
                    error = chain(&error),
                    "An inbox segment could not be freed."
                );
            }
        }
        self.board.freed(&self.spool);
    }
}

fn parse_mark<'a>(key: &[u8], value: &'a [u8]) -> Option<(StreamId, Seq, &'a str)> {
    let stream = key.strip_prefix(MARK_KEY)?.try_into().ok()?;
    let (seq, host) = value.split_first_chunk::<8>()?;
    Some((StreamId(stream), Seq(u64::from_le_bytes(*seq)), std::str::from_utf8(host).ok()?))
}

#[cfg(test)]
mod tests;
