//! The state lane of a simulated agent: a few frames in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_agent::lanes::{Frames, LaneBoard, LaneHandle};
use muster_link::system_clock;
use muster_proto::frame::{BodyFacts, Kind, Sealer};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_proto::state::{Heartbeat, StateBatch, StateRecord, encode_state};
use muster_spool::{Entry, ReadError};

/// One agent's lane.
pub(super) struct MemoryLane {
    board: Arc<LaneBoard>,
    kept: Arc<Kept>,
}

/// Frames that nobody has acked, oldest first.
#[derive(Default)]
struct Kept(Mutex<Store>);

struct Store {
    first: u64,
    frames: VecDeque<Vec<u8>>,
}

impl Default for Store {
    fn default() -> Store {
        Store { first: 1, frames: VecDeque::new() }
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the board reads.
struct View(Arc<Kept>);

impl Frames for View {
    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let store = self.0.lock();
        if from.0 < store.first {
            return Err(ReadError::Missing { from: from.0, to: store.first - 1 });
        }
        let all = store.frames.iter().zip(store.first..).filter(|(_, seq)| *seq >= from.0);
        let mut bytes = 0;
        let fitting = all.take_while(|(frame, seq)| {
            bytes += frame.len();
            *seq == from.0 || bytes <= bytes_max
        });
        Ok(fitting.map(|(frame, seq)| Entry { seq, bytes: frame.clone() }).collect())
    }

    fn first(&self) -> Seq {
        Seq(self.0.lock().first)
    }
}

impl MemoryLane {
    pub(super) fn new() -> MemoryLane {
        let kept = Arc::new(Kept::default());
        let stream = StreamId(std::array::from_fn(|_| fastrand::u8(..)));
        let board = LaneBoard::without_spool(Lane::State, stream, Box::new(View(kept.clone())));
        MemoryLane { board: Arc::new(board), kept }
    }

    pub(super) fn handle(&self) -> LaneHandle {
        LaneHandle::without_thread(self.board.clone())
    }

    /// Whether an aggregator has acked the newest frame.
    pub(super) fn is_acked(&self) -> bool {
        let view = self.board.view();
        view.durable.0 > 0 && view.released == view.durable
    }

    /// Appends a heartbeat; forgets what was acked.
    pub(super) fn beat(&self) {
        let view = self.board.view();
        let seq = view.durable.next();
        let mut store = self.kept.lock();
        while store.first <= view.released.0 && store.frames.pop_front().is_some() {
            store.first += 1;
        }
        store.frames.push_back(heartbeat(view.stream, seq));
        drop(store);
        self.board.durable(seq);
    }
}

fn heartbeat(stream: StreamId, seq: Seq) -> Vec<u8> {
    let at = system_clock()();
    let beat = Heartbeat { at, interval_s: 60, backlog: Vec::new() };
    let raw = encode_state(&StateBatch { records: vec![StateRecord::Heartbeat(beat)] });
    let facts = BodyFacts { kind: Kind::State, dict: 0, records: 1, first_at: at, last_at: at };
    let sealed =
        Sealer::new().and_then(|mut sealer| sealer.seal(facts, &raw)).expect("it is small");
    let mut frame = sealed.header(Lane::State, stream, seq).encode().to_vec();
    frame.extend_from_slice(&sealed.body);
    frame
}
