//! An inbox that is short of room, on a disk in memory. The staging limit here is 8 KiB.

use std::time::Instant;

use bytes::Bytes;
use muster_proto::clock::Utc;
use muster_proto::frame::Header;
use muster_proto::lane::Lane;
use muster_spool::testing::{Faults, MemDisk};
use muster_spool::{Disk, Settings};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, channel, unbounded_channel};

use super::*;

const SETTINGS: Settings = Settings {
    segment_bytes: 16 * 1024,
    budget_bytes: 64 * 1024,
    reserve_bytes: 0,
    recycle_max: 2,
    stock_files: 0,
};
const STREAM: StreamId = StreamId([3; 16]);
const STORE: &str = "store";

struct Story {
    disk: Arc<MemDisk>,
    keeper: Keeper,
    /// Somebody is there: without it the keeper stops.
    sender: Option<Sender<Arrival>>,
    stored: UnboundedSender<Stored>,
    heard: UnboundedReceiver<Stored>,
}

impl Story {
    fn new() -> Story {
        let disk = Arc::new(MemDisk::new(1));
        let spool_disk: Arc<dyn Disk> = disk.clone();
        let (mut spool, _) = Spool::open(spool_disk, SETTINGS, [7; 16]).unwrap();
        spool.add_cursor(STORE, 1).unwrap();
        let board = Arc::new(InboxBoard::new(Lane::Logs, &spool, &[STORE], SETTINGS.budget_bytes));
        let (stored, heard) = unbounded_channel();
        let (sender, receiver) = channel(1);
        let keeper = Keeper::new(spool, board, receiver, Beat::default());
        Story { disk, keeper, sender: Some(sender), stored, heard }
    }

    /// One group: frames of about 1000 bytes with these seqs.
    fn group(&mut self, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            let arrival = arrival(seq, self.stored.clone());
            self.keeper.take(&arrival);
        }
    }

    fn last_heard(&mut self) -> Option<Seq> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).last().map(|stored| stored.seq)
    }
}

fn arrival(seq: u64, stored: UnboundedSender<Stored>) -> Arrival {
    let at = Utc(1_700_000_000_000_000);
    let header = Header {
        lane: Lane::Logs,
        kind: Kind::Log,
        stream: STREAM,
        seq: Seq(seq),
        dict: 0,
        records: 1,
        raw_len: 1000,
        body_len: 1000,
        body_crc: 0,
        first_at: at,
        last_at: at,
    };
    Arrival {
        host: "host1".into(),
        datacenter: "here".into(),
        header,
        frame: Bytes::from(vec![1; 1000]),
        stored,
    }
}

#[test]
fn at_the_staging_limit_the_group_goes_on_without_a_pause() {
    let mut story = Story::new();
    let began = Instant::now();
    story.group(1..=40);
    assert!(began.elapsed() < RETRY_PAUSE, "no pause");
    assert_eq!(story.keeper.board.refusal(), None, "nothing is wrong");
    assert!(story.keeper.board.durable() >= 28, "followers see what is written");
    assert_eq!(story.last_heard(), None, "no ack before the end of the group");
    story.keeper.commit();
    assert_eq!(story.last_heard(), Some(Seq(40)));
}

#[test]
fn over_the_budget_a_frame_waits_until_the_store_has_read() {
    let mut story = Story::new();
    story.group(1..=50);
    let board = story.keeper.board.clone();
    let taker = std::thread::spawn(move || {
        story.group(51..=70);
        story.keeper.commit();
        story
    });
    wait_for(|| board.refusal().is_some_and(|why| why.contains("a store is behind")));
    let read = board.durable();
    assert!((50..70).contains(&read), "{read}");
    board.advance(STORE, read);
    let mut story = taker.join().unwrap();
    assert_eq!(story.last_heard(), Some(Seq(70)));
    assert_eq!(board.refusal(), None);
}

#[test]
fn on_a_full_disk_nothing_is_acked_or_lost() {
    let mut story = Story::new();
    story.group(1..=5);
    story.keeper.commit();
    assert_eq!(story.last_heard(), Some(Seq(5)));
    let (board, disk) = (story.keeper.board.clone(), story.disk.clone());
    disk.faults(|faults| faults.room_bytes = Some(0));
    let taker = std::thread::spawn(move || {
        story.group(6..=40);
        story.keeper.commit();
        story
    });
    wait_for(|| board.refusal().is_some_and(|why| why.contains("no room")));
    assert!(!taker.is_finished());
    disk.faults(|faults| *faults = Faults::default());
    let mut story = taker.join().unwrap();
    assert_eq!(story.last_heard(), Some(Seq(40)));
    assert_eq!(board.durable(), 40);
}

#[test]
fn a_full_disk_holds_up_no_stop_and_no_mark_covers_what_was_not_written() {
    let mut story = Story::new();
    story.group(1..=5);
    story.keeper.commit();
    story.disk.faults(|faults| faults.room_bytes = Some(0));
    drop(story.sender.take());
    let began = Instant::now();
    story.group(6..=40);
    story.keeper.commit();
    assert!(began.elapsed() < RETRY_PAUSE, "it does not wait for room");
    assert_eq!(story.last_heard(), Some(Seq(5)), "nothing more is acked");
    story.disk.faults(|faults| *faults = Faults::default());
    story.keeper.commit();
    let disk: Arc<dyn Disk> = story.disk.clone();
    drop(story);
    let (spool, _) = Spool::open(disk, SETTINGS, [7; 16]).unwrap();
    let marks: Vec<_> = spool.notes().filter_map(|(key, value)| parse_mark(key, value)).collect();
    let [(STREAM, Seq(marked), "host1")] = marks[..] else { panic!("{marks:?}") };
    assert!(marked < spool.next_seq(), "{marked} of {}", spool.next_seq());
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < patience, "nothing happened");
        std::thread::yield_now();
    }
}
