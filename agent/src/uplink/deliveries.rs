//! What goes over the live connection: obeys the talk machine.
//!
//! Turns carry frames from a lane's spool to the lane's stream; releases go back to the lane. What the
//! lanes have made durable or dropped is told to the machine here.

use muster_proto::clock::Mono;
use muster_proto::control::FromAgent;
use muster_proto::ids::Seq;
use muster_proto::talk::uplink::{LaneStart, Order};

use super::Pump;
use super::turn::{self, Job, TurnTold};
use crate::lanes::{Dropped, LaneHandle};

impl Pump {
    pub(super) fn deliver(&mut self, order: Order) {
        match order {
            Order::Send { life, lane, from, bytes_max } => {
                self.begin_turn(Job { life, lane, from, bytes_max })
            }
            Order::Release { lane, upto } => {
                if let Some(handle) =
                    self.parts.lanes.iter().find(|handle| handle.board.lane == lane)
                {
                    handle.release(upto);
                }
            }
            Order::Nudge => self.say(FromAgent::Nudge),
            Order::Suspect(why) => {
                tracing::warn!(?why, "The connection is suspected.");
                let now = self.now();
                self.failover.on_suspect(now);
            }
            Order::Recovered => {
                let now = self.now();
                self.failover.on_recovered(now);
            }
            Order::Forked { lane, durable } => {
                tracing::error!(%lane, %durable, "The spool is older than what the aggregator has: it was restored from a copy. Remove the lane's spool directory to begin a new stream.");
            }
        }
    }

    fn begin_turn(&mut self, job: Job) {
        let handle = self.parts.lanes.iter().find(|handle| handle.board.lane == job.lane);
        let line = self.live_try().and_then(|found| found.line.as_ref());
        let (Some(handle), Some(line)) = (handle, line) else {
            let done =
                TurnTold::Done { life: job.life, lane: job.lane, next_bytes: 0, writer: None };
            let _ = self.turn_tx.send(done);
            return;
        };
        let (connection, board) = (line.connection.clone(), handle.board.clone());
        let writer = self.writers.remove(&job.lane);
        self.tasks.spawn(turn::run(job, connection, writer, board, self.turn_tx.clone()));
    }

    pub(super) fn on_turn(&mut self, now: Mono, told: TurnTold) {
        match told {
            TurnTold::Sent(sent) => self.uplink.on_sent(now, sent),
            TurnTold::Missing { lane, from, to } => {
                tracing::error!(%lane, %from, %to, "The spool lost frames.");
                if let Some(handle) =
                    self.parts.lanes.iter().find(|handle| handle.board.lane == lane)
                {
                    let records = to.0.saturating_sub(from.0) + 1;
                    handle.board.lost(Dropped { from, to, records, why: "spool-damage" });
                }
                self.uplink.on_missing(lane, from, to);
            }
            TurnTold::Done { life, lane, next_bytes, writer } => {
                // A writer of an earlier connection has a broken stream: it is dropped with it.
                if let Some(writer) = writer
                    && life == self.adopted
                {
                    self.writers.insert(lane, writer);
                }
                self.uplink.on_send_done(now, life, lane, next_bytes);
            }
        }
    }

    pub(super) fn look_at_lanes(&mut self) {
        for handle in &self.parts.lanes {
            let view = handle.board.view();
            self.uplink.on_durable(view.lane, view.durable);
            let first = handle.board.first();
            if first > self.uplink.acked(view.lane).next() {
                self.uplink.on_dropped(view.lane, Seq(first.0.saturating_sub(1)));
            }
        }
    }

    pub(super) fn renew_if_due(&mut self) {
        let Some(csr) = self.renewal.due() else { return };
        if self.live.is_none() {
            return self.renewal.not_now();
        }
        self.say(FromAgent::Renew { csr });
    }

    /// Says something on the live connection. When several messages wait already, this one is not
    /// needed: a nudge is among them, and a renewal is asked for again.
    fn say(&self, message: FromAgent) {
        if let Some(line) = self.live_try().and_then(|found| found.line.as_ref()) {
            let _ = line.say.try_send(message);
        }
    }
}

/// Where a lane stands when the agent starts.
pub(super) fn start_of(handle: &LaneHandle) -> LaneStart {
    let view = handle.board.view();
    LaneStart { lane: view.lane, stream: view.stream, acked: view.released, durable: view.durable }
}
