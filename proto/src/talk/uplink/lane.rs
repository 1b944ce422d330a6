//! One lane of the uplink: what is durable, sent, acked and under way.

use std::collections::VecDeque;

use crate::clock::Mono;
use crate::ids::{Seq, StreamId};
use crate::lane::Lane;
use crate::limits::FRAME_BYTES_MAX;

/// A frame (or a hole left by a damaged one) that is under way.
#[derive(Debug, Clone, Copy)]
struct Flight {
    seq: Seq,
    /// 0 for a hole: nothing was sent.
    bytes: u64,
    hole: bool,
}

/// One lane. Invariant: `acked ≤ sent ≤ durable`, and `sent ≤ sent_ever`.
#[derive(Debug)]
pub(super) struct LaneOut {
    pub(super) lane: Lane,
    pub(super) stream: StreamId,
    /// Everything up to here is durable at an aggregator, or was dropped.
    pub(super) acked: Seq,
    /// Last seq sent on this connection, or below its start.
    pub(super) sent: Seq,
    /// Last seq in the agent's spool, synced.
    pub(super) durable: Seq,
    /// Last seq that this process ever sent: what an Ack may name.
    sent_ever: Seq,
    /// What the pump was told to release, or dropped itself.
    released: Seq,
    flying: VecDeque<Flight>,
    pub(super) flying_bytes: u64,
    /// Since when something is under way without an ack that moves this lane.
    pub(super) moved_at: Option<Mono>,
    /// What the pump is writing now.
    pub(super) turn: Option<Turn>,
    /// Length of the frame that did not fit last time.
    wants: (Seq, u64),
    /// The spool gave nothing although it should: do not ask before.
    pub(super) retry_at: Option<Mono>,
    /// The aggregator has more of this stream than we: the spool went back in time.
    pub(super) forked: bool,
}

/// A range the pump was told to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) reserved: u64,
    /// What the pump looks at next; a drop meanwhile moves `sent`, not this.
    pub(super) next: Seq,
    pub(super) sent_any: bool,
}

impl LaneOut {
    pub(super) fn new(lane: Lane, stream: StreamId, acked: Seq, durable: Seq) -> LaneOut {
        let durable = durable.max(acked);
        LaneOut {
            lane,
            stream,
            acked,
            sent: acked,
            durable,
            sent_ever: acked,
            released: acked,
            flying: VecDeque::new(),
            flying_bytes: 0,
            moved_at: None,
            turn: None,
            wants: (Seq::NONE, 0),
            retry_at: None,
            forked: false,
        }
    }

    /// A connection ended or begins: nothing is under way, everything unacked is to be sent.
    pub(super) fn restart(&mut self) {
        self.flying.clear();
        self.flying_bytes = 0;
        self.moved_at = None;
        self.turn = None;
        self.wants = (Seq::NONE, 0);
        self.retry_at = None;
        self.forked = false;
        self.sent = self.acked;
    }

    /// The aggregator has everything up to `seq`, synced. False when that cannot be.
    pub(super) fn on_known(&mut self, seq: Seq) -> bool {
        if seq > self.durable {
            self.forked = true;
            return false;
        }
        self.cover(seq);
        true
    }

    /// Like [`LaneOut::on_known`] for an Ack, which cannot name what was never sent.
    pub(super) fn on_ack(&mut self, seq: Seq) -> bool {
        if seq > self.sent_ever.max(self.acked) {
            return false;
        }
        self.cover(seq);
        true
    }

    /// A frame was written. False when it is not the next one.
    ///
    /// One that was acked or dropped while its turn was on is no news, but its bytes are on the wire
    /// and an ack will come for it.
    pub(super) fn on_sent(&mut self, seq: Seq, bytes: u64) -> bool {
        let covered = seq <= self.acked && self.flying.back().is_none_or(|last| last.seq < seq);
        let next = seq == self.sent.next() && seq <= self.durable;
        if !covered && !next {
            return false;
        }
        self.fly(Flight { seq, bytes, hole: false });
        if let Some(turn) = &mut self.turn {
            turn.reserved = turn.reserved.saturating_sub(bytes);
            turn.next = seq.next();
            turn.sent_any = true;
        }
        true
    }

    /// The spool lost `from..=to` to damage: they will never be sent.
    pub(super) fn on_missing(&mut self, from: Seq, to: Seq) {
        let to = to.min(self.durable);
        if from > self.sent.next() || to <= self.sent {
            return;
        }
        self.fly(Flight { seq: to, bytes: 0, hole: true });
        self.pass_holes();
        if let Some(turn) = &mut self.turn {
            turn.next = to.next();
            turn.sent_any = true;
        }
    }

    /// The spool dropped everything up to `upto` to make room. What of it is under way stays
    /// counted until an ack names it: its bytes are on the wire.
    pub(super) fn on_dropped(&mut self, upto: Seq) {
        self.acked = self.acked.max(upto);
        self.released = self.released.max(upto);
        self.sent = self.sent.max(upto);
        self.sent_ever = self.sent_ever.max(upto);
        self.durable = self.durable.max(upto);
    }

    /// What the pump is to release, once.
    pub(super) fn release(&mut self) -> Option<Seq> {
        if self.acked <= self.released {
            return None;
        }
        self.released = self.acked;
        Some(self.acked)
    }

    pub(super) fn is_ready(&self, now: Mono) -> bool {
        self.sent < self.durable
            && self.turn.is_none()
            && !self.forked
            && self.retry_at.is_none_or(|at| at <= now)
    }

    pub(super) fn reserved(&self) -> u64 {
        self.turn.map_or(0, |turn| turn.reserved)
    }

    /// Frame `seq` did not fit.
    pub(super) fn want(&mut self, seq: Seq, bytes: u64) {
        self.wants = (seq, bytes.min(FRAME_BYTES_MAX));
    }

    /// Length of the next frame, when it is known because it did not fit; else 0.
    pub(super) fn wants(&self) -> u64 {
        if self.wants.0 == self.sent.next() { self.wants.1 } else { 0 }
    }

    fn fly(&mut self, flight: Flight) {
        self.sent = self.sent.max(flight.seq);
        self.sent_ever = self.sent_ever.max(flight.seq);
        self.flying_bytes += flight.bytes;
        self.flying.push_back(flight);
    }

    /// An aggregator has everything up to `seq`: those frames are no longer under way.
    fn cover(&mut self, seq: Seq) {
        self.acked = self.acked.max(seq);
        self.sent = self.sent.max(self.acked);
        self.sent_ever = self.sent_ever.max(self.acked);
        while let Some(landed) = self.flying.pop_front_if(|flight| flight.seq <= seq) {
            self.flying_bytes = self.flying_bytes.saturating_sub(landed.bytes);
        }
        self.pass_holes();
    }

    /// A hole at the head of what is under way has everything before it covered.
    fn pass_holes(&mut self) {
        while let Some(hole) = self.flying.pop_front_if(|flight| flight.hole) {
            self.acked = self.acked.max(hole.seq);
        }
    }
}
