//! The thread of one lane: stamp, append, commit, free.
//!
//! Room: `agent::lanes`.  May use: `rule`, `dicts`, `board`.  Used by: `lanes`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use muster_program::pulse::Beat;
use muster_proto::errors::chain;
use muster_proto::ids::Seq;
use muster_proto::lane::Lane;
use muster_spool::{AppendError, CommitError, Limit, Spool};

use super::dicts::Dicts;
use super::rule::{Rule, Shortage, gathers_while_refused, when_short};
use super::{Deposit, Dropped, LaneBoard, ToLane, UPLINK_CURSOR};

/// A group is synced when it holds this much. Bytes. Syncs cost per call, not per byte, below it.
const COMMIT_BYTES: u64 = 1024 * 1024;
/// A group of log or metric frames is synced at the latest after this long.
const COMMIT_AGE: Duration = Duration::from_millis(50);
/// Pause before a disk that refused is asked again; resumption within a second is promised.
const RETRY_PAUSE: Duration = Duration::from_millis(300);
/// How much of a lane that may drop is dropped at once. Bytes; whole files go, so this is the oldest one.
const DROP_BYTES: u64 = 1;

pub(super) struct Keeper {
    lane: Lane,
    spool: Spool,
    board: Arc<LaneBoard>,
    dicts: Dicts,
    /// Bytes appended since the last commit, and since when.
    group: Option<(u64, Instant)>,
    /// When a disk that refused is asked again.
    retry_at: Option<Instant>,
    /// Release mark already given to the spool.
    freed: u64,
    /// Says that this thread does not hang; a disk that refuses is not a hang.
    beat: Beat,
}

impl Keeper {
    pub(super) fn new(lane: Lane, spool: Spool, board: Arc<LaneBoard>, beat: Beat) -> Keeper {
        let dicts = Dicts::restore(&spool, &board);
        let freed = board.released();
        Keeper { lane, spool, board, dicts, group: None, retry_at: None, freed, beat }
    }

    /// Runs until every sender is gone, then commits what is left.
    pub(super) fn run(mut self, receiver: &Receiver<ToLane>) {
        loop {
            self.beat.rests();
            let received = match self.wait() {
                Some(wait) => receiver.recv_timeout(wait),
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            self.beat.works();
            match received {
                Ok(ToLane::Deposit(deposit)) => self.take(deposit),
                Ok(ToLane::Flush(done)) => {
                    if self.group.is_some() {
                        // A disk that refuses is tried again when the group is due.
                        let _ = self.try_commit();
                    }
                    let _ = done.send(());
                }
                Ok(ToLane::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.free();
            if self.is_due() {
                self.commit();
            }
        }
        if self.group.is_some() {
            // Last try, and it says itself why it failed. Lines are read again after the restart.
            let _ = self.try_commit();
        }
    }

    /// How long the open group may still grow, or the disk is left alone.
    fn wait(&self) -> Option<Duration> {
        let (_, since) = self.group?;
        Some(match self.retry_at {
            Some(at) => at.saturating_duration_since(Instant::now()),
            None => self.age_max().saturating_sub(since.elapsed()),
        })
    }

    fn is_due(&self) -> bool {
        let Some((bytes, since)) = self.group else { return false };
        match self.retry_at {
            Some(at) => Instant::now() >= at,
            None => bytes >= COMMIT_BYTES || since.elapsed() >= self.age_max(),
        }
    }

    fn age_max(&self) -> Duration {
        match self.lane {
            Lane::State => Duration::ZERO,
            Lane::Metrics | Lane::Logs | Lane::Bulk => COMMIT_AGE,
        }
    }

    /// Appends one deposit, waiting or dropping as the lane's rule says when there is no room.
    fn take(&mut self, deposit: Deposit) {
        loop {
            self.beat.works();
            match self.append(&deposit) {
                Ok(bytes) => {
                    let (grown, _) = self.group.get_or_insert_with(|| (0, Instant::now()));
                    *grown += bytes;
                    return;
                }
                Err(AppendError::TooLong { .. }) => {
                    let records = deposit.sealed.as_ref().map_or(0, |sealed| sealed.facts.records);
                    return self.lost(records.into(), "frame-too-long");
                }
                Err(AppendError::Full { limit, .. }) => self.make_room(limit),
            }
        }
    }

    /// Stages the frame, then everything that belongs to it: one group, one sync.
    fn append(&mut self, deposit: &Deposit) -> Result<u64, AppendError> {
        let mut bytes = 0;
        if let Some(sealed) = &deposit.sealed {
            let seq = Seq(self.spool.next_seq());
            let mut header = sealed.header(self.lane, self.board.stream, seq);
            header.dict = self.dicts.needed_by(header.kind, seq, deposit.dict.is_some());
            self.spool.append(&[&header.encode(), &sealed.body])?;
            if let Some(dict) = &deposit.dict {
                self.dicts.open(&mut self.spool, &self.board, seq, dict);
            }
            bytes = header.frame_len() as u64;
        }
        for (key, value) in &deposit.notes {
            if let Err(error) = self.spool.note(key, value.as_deref()) {
                // The source reads these lines again after a restart: twice is better than never.
                tracing::warn!(error = chain(&error), "A checkpoint cannot be kept.");
            }
        }
        Ok(bytes)
    }

    /// The spool takes no more. Most often it is enough to write what is staged, or to free what was
    /// acked meanwhile; only when neither helps the lane's rule is asked.
    fn make_room(&mut self, limit: Limit) {
        let is_freed = self.free();
        if self.group.is_some() || limit == Limit::Staged {
            if let Err(error) = self.try_commit() {
                self.give_way(Shortage::of_disk(&error));
            }
        } else if !is_freed {
            self.give_way(Shortage::Budget);
        }
    }

    fn give_way(&mut self, shortage: Shortage) {
        // The newest file stays until a younger one is written: giving it up would make no room on disk.
        let has_old = self.spool.usage().segments > 1 || shortage == Shortage::Budget;
        match when_short(self.lane, shortage) {
            Rule::DropOldest { why } if has_old => {
                let dropped = self.spool.drop_oldest(DROP_BYTES);
                if dropped.bytes == 0 {
                    return std::thread::park_timeout(RETRY_PAUSE);
                }
                if dropped.entries > 0 {
                    let (from, to) = (Seq(dropped.from), Seq(dropped.to));
                    self.board.lost(Dropped { from, to, records: dropped.entries, why });
                }
            }
            Rule::DropOldest { .. } | Rule::Wait => std::thread::park_timeout(RETRY_PAUSE),
        }
    }

    /// Writes the group. While the disk refuses, a lane that gathers goes on taking deposits.
    fn commit(&mut self) {
        while self.try_commit().is_err() {
            self.beat.works();
            if gathers_while_refused(self.lane) {
                self.retry_at = Some(Instant::now() + RETRY_PAUSE);
                return;
            }
            std::thread::park_timeout(RETRY_PAUSE);
            self.free();
        }
    }

    fn try_commit(&mut self) -> Result<(), CommitError> {
        match self.spool.commit() {
            Ok(_) => {
                self.group = None;
                self.retry_at = None;
                if self.board.committed(&self.spool) {
                    tracing::info!(lane = %self.lane, "The spool can be written again.");
                }
                Ok(())
            }
            Err(error) => {
                let why = chain(&error);
                if self.board.refused(&why) {
                    tracing::error!(lane = %self.lane, why, "The spool cannot be written; trying again.");
                }
                Err(error)
            }
        }
    }

    /// Gives back what an aggregator has; says whether there was something.
    fn free(&mut self) -> bool {
        let released = self.board.released();
        if released <= self.freed {
            return false;
        }
        self.freed = released;
        self.dicts.retire(&mut self.spool, &self.board, released);
        if let Err(error) = self.spool.advance(UPLINK_CURSOR, released) {
            tracing::warn!(lane = %self.lane, %error, "A spool segment could not be freed.");
        }
        self.board.freed(&self.spool);
        true
    }

    fn lost(&self, records: u64, why: &'static str) {
        self.board.lost(Dropped { from: Seq::NONE, to: Seq::NONE, records, why });
    }
}

#[cfg(test)]
mod tests;
