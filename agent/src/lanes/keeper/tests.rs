//! Each row of the lane table, on a disk in memory. The staging limit here is 8 KiB, a file 16 KiB.

use std::sync::Arc;

use muster_proto::clock::Utc;
use muster_proto::frame::{BodyFacts, Kind, Sealed};
use muster_spool::testing::{Faults, MemDisk};
use muster_spool::{Disk, Settings};

use super::*;

const SETTINGS: Settings = Settings {
    segment_bytes: 16 * 1024,
    budget_bytes: 64 * 1024,
    reserve_bytes: 0,
    recycle_max: 2,
    stock_files: 1,
};
/// Frames that fit the staging limit: 1000 bytes of body, 80 of header, the entry's own head.
const STAGED_FRAMES: u64 = 7;
/// A lane that does not wait by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

struct Story {
    disk: Arc<MemDisk>,
    keeper: Keeper,
}

impl Story {
    fn of(lane: Lane) -> Story {
        let disk = Arc::new(MemDisk::new(1));
        let spool_disk: Arc<dyn Disk> = disk.clone();
        let (mut spool, _) = Spool::open(spool_disk, SETTINGS, [7; 16]).unwrap();
        spool.add_cursor(UPLINK_CURSOR, 1).unwrap();
        spool.commit().unwrap();
        let board = Arc::new(LaneBoard::new(lane, &spool, SETTINGS.budget_bytes));
        Story { disk, keeper: Keeper::new(lane, spool, board, Beat::default()) }
    }

    /// What the thread does with deposits that are there already, without its pauses between them.
    fn take(&mut self, frames: u64) {
        for _ in 0..frames {
            self.keeper.take(deposit());
            if self.keeper.is_due() {
                self.keeper.commit();
            }
        }
    }

    /// Takes and commits, whatever the age of the group.
    fn keep(&mut self, frames: u64) {
        for _ in 0..frames {
            self.keeper.take(deposit());
            self.keeper.commit();
        }
    }

    fn faults(&self, change: impl FnOnce(&mut Faults)) {
        self.disk.faults(change);
    }

    fn fill_the_disk(&self) {
        self.faults(|faults| faults.room_bytes = Some(0));
    }

    /// Frames given: those on disk, those staged and those dropped are all of them.
    fn check(&self, given: u64, dropped: u64) {
        let usage = self.keeper.spool.usage();
        let first = self.keeper.spool.first_seq();
        assert_eq!(self.keeper.spool.next_seq() - 1, given, "frames taken");
        assert_eq!(first - 1, dropped, "the oldest went, the newest stayed: {usage:?}");
        assert_eq!(self.keeper.board.view().dropped, dropped, "all that went is counted");
    }

    /// Takes `frames` in a thread, sees that the lane waits, makes room, and sees that all are kept.
    fn waits(
        mut self,
        frames: u64,
        is_waiting: impl Fn(&LaneBoard) -> bool,
        room: impl FnOnce(&LaneBoard),
    ) {
        let board = self.keeper.board.clone();
        let given = self.keeper.spool.next_seq() - 1 + frames;
        let taker = std::thread::spawn(move || {
            self.keep(frames);
            self.keeper.commit();
            self
        });
        let patience = Instant::now() + PATIENCE;
        while !is_waiting(&board) {
            assert!(Instant::now() < patience, "{}: does not wait", board.lane);
            std::thread::yield_now();
        }
        assert!(!taker.is_finished(), "{}: took everything without room", board.lane);
        room(&board);
        let story = taker.join().expect("the taker");
        assert_eq!(story.keeper.spool.next_seq() - 1, given);
        assert_eq!(board.view().durable, Seq(given), "nothing is left behind");
        assert_eq!(board.view().dropped, 0, "nothing is dropped");
        assert_eq!(board.view().refused, None);
    }
}

fn deposit() -> Deposit {
    let at = Utc(1_700_000_000_000_000);
    let facts = BodyFacts { kind: Kind::State, dict: 0, records: 1, first_at: at, last_at: at };
    let sealed = Sealed { facts, raw_len: 1000, body_crc: 0, body: vec![1; 1000] };
    Deposit { sealed: Some(sealed), dict: None, notes: Vec::new() }
}

#[test]
fn at_the_staging_limit_every_lane_writes_and_goes_on() {
    for lane in super::super::LANES {
        let mut story = Story::of(lane);
        let began = Instant::now();
        for _ in 0..4 * STAGED_FRAMES {
            story.keeper.take(deposit());
        }
        assert!(began.elapsed() < RETRY_PAUSE, "{lane}: no pause");
        story.check(4 * STAGED_FRAMES, 0);
        assert!(story.keeper.board.view().durable.0 >= 3 * STAGED_FRAMES, "{lane}");
        assert_eq!(story.keeper.board.view().refused, None);
    }
}

#[test]
fn over_the_budget_state_and_metrics_drop_their_oldest() {
    for lane in [Lane::State, Lane::Metrics] {
        let mut story = Story::of(lane);
        story.keep(100);
        let dropped = story.keeper.board.view().dropped;
        assert!((40..70).contains(&dropped), "{lane}: {dropped}");
        story.check(100, dropped);
        let gaps = story.keeper.board.take_gaps();
        assert_eq!(gaps.len(), 1);
        assert_eq!((gaps[0].from, gaps[0].to, gaps[0].why), (Seq(1), Seq(dropped), "spool-budget"));
    }
}

#[test]
fn what_was_acked_makes_room_before_anything_is_dropped() {
    for lane in super::super::LANES {
        let mut story = Story::of(lane);
        for _ in 0..10 {
            story.keep(20);
            story.keeper.board.release(story.keeper.board.view().durable);
        }
        assert_eq!(story.keeper.board.view().dropped, 0, "{lane}");
        assert_eq!(story.keeper.spool.next_seq() - 1, 200);
    }
}

#[test]
fn over_the_budget_logs_wait_for_acks() {
    let mut story = Story::of(Lane::Logs);
    story.keep(50);
    let is_waiting = |board: &LaneBoard| board.view().bytes > SETTINGS.budget_bytes - 2_000;
    story.waits(20, is_waiting, |board| assert!(board.release(Seq(50))));
}

#[test]
fn on_a_full_disk_metrics_gather_then_drop_their_oldest() {
    let mut story = Story::of(Lane::Metrics);
    story.keep(20);
    story.fill_the_disk();
    story.take(200);
    let dropped = story.keeper.board.view().dropped;
    assert!(dropped > 100, "{dropped}");
    story.check(220, dropped);
    let gaps = story.keeper.board.take_gaps();
    assert_eq!((gaps[0].from, gaps[0].to, gaps[0].why), (Seq(1), Seq(dropped), "disk-full"));
    story.faults(|faults| *faults = Faults::default());
    story.keeper.commit();
    assert_eq!(story.keeper.board.view().durable, Seq(220), "the newest are kept");
    assert_eq!(story.keeper.board.view().refused, None);
}

#[test]
fn gaps_that_could_not_be_told_are_told_with_the_next() {
    let story = Story::of(Lane::Metrics);
    let board = &story.keeper.board;
    let gap = |to, why| Dropped { from: Seq(1), to: Seq(to), records: to, why };
    board.lost(gap(4, "disk-full"));
    let untold = board.take_gaps();
    board.lost(gap(3, "disk-full"));
    board.lost(gap(2, "lane-queue"));
    board.put_back_gaps(untold);
    let told = [Dropped { records: 7, ..gap(4, "disk-full") }, gap(2, "lane-queue")];
    assert_eq!(board.take_gaps(), told);
    assert_eq!(board.view().dropped, 9, "counted once");
}

#[test]
fn on_a_full_disk_state_and_logs_drop_nothing() {
    for lane in [Lane::State, Lane::Logs] {
        let mut story = Story::of(lane);
        story.keep(20);
        story.fill_the_disk();
        let disk = story.disk.clone();
        let is_waiting = |board: &LaneBoard| board.view().refused.is_some();
        story.waits(33, is_waiting, |_| disk.faults(|faults| *faults = Faults::default()));
    }
}

#[test]
fn on_a_read_only_disk_metrics_drop_nothing_because_it_would_not_help() {
    let mut story = Story::of(Lane::Metrics);
    story.keep(30);
    story.faults(|faults| faults.is_read_only = true);
    let disk = story.disk.clone();
    let is_waiting = |board: &LaneBoard| board.view().refused.is_some();
    story.waits(10, is_waiting, |_| disk.faults(|faults| *faults = Faults::default()));
}

#[test]
fn a_flush_writes_what_was_deposited_before_it_however_young_it_is() {
    for lane in super::super::LANES {
        let keeper = Story::of(lane).keeper;
        let board = keeper.board.clone();
        let (sender, receiver) = std::sync::mpsc::sync_channel(4);
        sender.send(ToLane::Deposit(deposit())).unwrap();
        let (done, flushed) = tokio::sync::oneshot::channel();
        sender.send(ToLane::Flush(done)).unwrap();
        let thread = std::thread::spawn(move || keeper.run(&receiver));
        flushed.blocking_recv().unwrap();
        assert_eq!(board.view().durable, Seq(1), "{lane}");
        drop(sender);
        thread.join().unwrap();
    }
}
