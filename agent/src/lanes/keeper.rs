//! The thread of one lane: stamp, append, commit, free.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use muster_proto::errors::chain;
use muster_proto::ids::Seq;
use muster_proto::lane::Lane;
use muster_spool::{AppendError, Spool};

use super::dicts::Dicts;
use super::{Deposit, Dropped, LaneBoard, ToLane, UPLINK_CURSOR};

/// A group is synced when it holds this much. Bytes. Syncs cost per call, not per byte, below it.
const COMMIT_BYTES: u64 = 1024 * 1024;
/// A group of log or metric frames is synced at the latest after this long.
const COMMIT_AGE: Duration = Duration::from_millis(50);
/// Pause before a disk that refused is asked again; resumption within a second is promised.
const RETRY_PAUSE: Duration = Duration::from_millis(300);
/// How much of a lane that may drop is dropped at once. Bytes.
const DROP_BYTES: u64 = 1024 * 1024;

pub(super) struct Keeper {
    lane: Lane,
    spool: Spool,
    board: Arc<LaneBoard>,
    dicts: Dicts,
    /// Bytes appended since the last commit, and since when.
    group: Option<(u64, Instant)>,
    /// Release mark already given to the spool.
    freed: u64,
}

impl Keeper {
    pub(super) fn new(lane: Lane, spool: Spool, board: Arc<LaneBoard>) -> Keeper {
        let dicts = Dicts::restore(&spool, &board);
        let freed = board.released();
        Keeper { lane, spool, board, dicts, group: None, freed }
    }

    /// Runs until every sender is gone, then commits what is left.
    pub(super) fn run(mut self, receiver: &Receiver<ToLane>) {
        loop {
            let received = match self.wait() {
                Some(wait) => receiver.recv_timeout(wait),
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match received {
                Ok(ToLane::Deposit(deposit)) => self.take(deposit),
                Ok(ToLane::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.free();
            if self.is_due() {
                self.commit();
            }
        }
        if self.group.is_some() {
            // Last try: what cannot be kept now is read again from its source after the restart.
            self.try_commit();
        }
    }

    /// How long the open group may still grow.
    fn wait(&self) -> Option<Duration> {
        let (_, since) = self.group?;
        Some(self.age_max().saturating_sub(since.elapsed()))
    }

    fn is_due(&self) -> bool {
        self.group.is_some_and(|(bytes, since)| {
            bytes >= COMMIT_BYTES || since.elapsed() >= self.age_max()
        })
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
                Err(_) => self.make_room(),
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

    /// The spool is full or the disk refuses.
    fn make_room(&mut self) {
        self.free();
        if self.group.is_some() && !self.try_commit() {
            return std::thread::park_timeout(RETRY_PAUSE);
        }
        match self.lane {
            // Files and the journal keep their lines until there is room.
            Lane::Logs | Lane::Bulk => std::thread::park_timeout(RETRY_PAUSE),
            Lane::State | Lane::Metrics => {
                let dropped = self.spool.drop_oldest(DROP_BYTES);
                if dropped.entries == 0 {
                    return std::thread::park_timeout(RETRY_PAUSE);
                }
                self.board.lost(Dropped {
                    from: Seq(dropped.from),
                    to: Seq(dropped.to),
                    records: dropped.entries,
                    why: "spool-budget",
                });
            }
        }
    }

    fn commit(&mut self) {
        while !self.try_commit() {
            std::thread::park_timeout(RETRY_PAUSE);
            self.free();
        }
    }

    fn try_commit(&mut self) -> bool {
        match self.spool.commit() {
            Ok(_) => {
                self.group = None;
                self.board.committed(&self.spool);
                true
            }
            Err(error) => {
                let why = chain(&error);
                tracing::error!(lane = %self.lane, why, "The spool cannot be written; trying again.");
                self.board.refused(why);
                false
            }
        }
    }

    /// Gives back what an aggregator has.
    fn free(&mut self) {
        let released = self.board.released();
        if released <= self.freed {
            return;
        }
        self.freed = released;
        self.dicts.retire(&mut self.spool, &self.board, released);
        if let Err(error) = self.spool.advance(UPLINK_CURSOR, released) {
            tracing::warn!(lane = %self.lane, %error, "A spool segment could not be freed.");
        }
        self.board.freed(&self.spool);
    }

    fn lost(&self, records: u64, why: &'static str) {
        self.board.lost(Dropped { from: Seq::NONE, to: Seq::NONE, records, why });
    }
}
