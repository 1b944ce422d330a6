//! The agent's half of the delivery conversation, for one connection life after another.
//!
//! Room: `proto/talk`.  May use: `control`, `limits`.  Used by: the agent's link pump.
//!
//! It knows of frames only their seq and length. A pump owns it together with the spool readers and
//! obeys its orders; which connection is the live one is decided by [`crate::failover`].
//!
//! # The loop around it
//! ```text
//! on start:       Uplink::new(speaker, timing, lanes from the spools: stream, cursor "uplink", durable_seq)
//! per connection: control.send(Hello(uplink.hello(probe)))     any number may be greeting at once
//! on Adopt:       uplink.on_welcome(now, &welcome)             this connection is the live one now
//!
//! loop { select!
//!     spool committed            => uplink.on_durable(lane, spool.durable_seq())
//!     spool dropped its oldest   => uplink.on_dropped(lane, to)
//!     control message, live one  => Ack    → uplink.on_ack(now, lane, stream, seq)
//!                                   Credit → uplink.on_credit(bytes)
//!     failover: Quiesce / Resume => uplink.on_drain() / uplink.on_resume()
//!     the live connection ended  => uplink.on_disconnected(now)
//!     timer at uplink.wake_at()  => {}
//!     then   if connection.datagrams_received() grew { uplink.on_rx(now) }   always before next()
//!            while let Some(order) = uplink.next(now) { obey }
//!            if uplink.is_quiet() { failover.on_quiet(now) }
//! }
//!
//! Send { life, lane, from, bytes_max }:
//!     let entries = reader.read(from, bytes_max)               in a blocking thread
//!     for each: Missing{from, to} → uplink.on_missing(lane, from, to)
//!               it is longer than what is left of bytes_max → stop, keep its length as `next_bytes`
//!               the stream's `SentDict` says that header.dict is due → write the dict frame first
//!               lane_tx.write(entry).await; uplink.on_sent(now, Sent { life, lane, seq, bytes })
//!     at last   uplink.on_send_done(now, life, lane, next_bytes or 0)
//! Release { lane, upto }:  spool.advance("uplink", upto); durable with the next commit
//! Nudge:                   control.send(FromAgent::Nudge)
//! Suspect(why):            failover.on_suspect(now); `why` is for the log
//! Recovered:               failover.on_recovered(now)
//! Forked { lane, .. }:     move what the spool still has into a new spool directory (a new stream)
//! ```
//! While a turn writes, the loop goes on: acks must be heard while a lane stream is blocked. Messages
//! of connections that are not the live one are not handed in, but for a `Credit` on a connection
//! that waits to be adopted: put it into its Welcome.
//!
//! Invariants
//! - Only frames that are durable here are sent; only what an aggregator has synced is released.
//! - Under way and unacked: at most `min(IN_FLIGHT_BYTES_MAX, credit)` bytes, or one single frame.
//!   Dict frames are not counted: at most one of a kind per connection.
//! - Within one connection each lane goes up without holes, but for what the spool lost or dropped.
//! - A late report of an earlier connection's turn changes nothing: `life` tells them apart.
//! - An ack of a foreign stream, or beyond what was sent, changes nothing and is counted.

mod lane;
mod words;

use std::time::Duration;

use crate::clock::Mono;
use crate::control::{Hello, LaneOffer, TALK_VERSION, Welcome};
use crate::ids::{Seq, StreamId};
use crate::lane::Lane;
use crate::limits::{FRAME_BYTES_MAX, IN_FLIGHT_BYTES_MAX};

pub use words::{Counters, LaneStart, Order, Sent, Speaker, Timing, Why};

use lane::{LaneOut, Turn};

/// The spool gave nothing although it said there is something: ask again after this.
const SPOOL_RETRY: Duration = Duration::from_millis(100);
/// One part in so many of the window is kept free for the state lane.
const STATE_SHARE: u64 = 8;

/// One life of a connection.
#[derive(Debug)]
struct Life {
    credit: u64,
    quiesced: bool,
    /// Since when something is unacked without a break.
    unacked_since: Option<Mono>,
    rx_at: Mono,
    looked_at: Mono,
    suspected: Option<Why>,
    /// Nudged since the last packet.
    nudged: bool,
}

/// The uplink. See the module head for how to drive it.
#[derive(Debug)]
pub struct Uplink {
    speaker: Speaker,
    timing: Timing,
    lanes: Vec<LaneOut>,
    life: Option<Life>,
    lives: u64,
    forks: Vec<Lane>,
    recovered: bool,
    counters: Counters,
}

impl Uplink {
    /// An uplink without a connection. Of several entries for one lane the first counts.
    pub fn new(speaker: Speaker, timing: Timing, lanes: &[LaneStart]) -> Uplink {
        let lanes = Lane::ALL.iter().filter_map(|lane| lanes.iter().find(|l| l.lane == *lane));
        Uplink {
            speaker,
            timing,
            lanes: lanes.map(|l| LaneOut::new(l.lane, l.stream, l.acked, l.durable)).collect(),
            life: None,
            lives: 0,
            forks: Vec::new(),
            recovered: false,
            counters: Counters::default(),
        }
    }

    /// This connection is the live one now; an earlier one is over, whatever was under way on it.
    ///
    /// A stream that the aggregator knows goes on after what it has; one that it does not know
    /// starts at the first unacked frame.
    pub fn on_welcome(&mut self, now: Mono, welcome: &Welcome) {
        self.on_disconnected(now);
        self.lives += 1;
        self.life = Some(Life {
            credit: welcome.credit_bytes,
            quiesced: false,
            unacked_since: None,
            rx_at: now,
            looked_at: now,
            suspected: None,
            nudged: false,
        });
        for known in &welcome.known {
            match self.lane_mut(known.lane) {
                Some(line) if line.stream == known.stream => {
                    if !line.on_known(known.durable) {
                        self.counters.forked += 1;
                        self.forks.push(known.lane);
                    }
                }
                _ => self.counters.acks_foreign += 1,
            }
        }
    }

    /// The live connection is over. Everything unacked will be sent again on the next one.
    pub fn on_disconnected(&mut self, _now: Mono) {
        self.life = None;
        self.forks.clear();
        self.recovered = false;
        self.lanes.iter_mut().for_each(LaneOut::restart);
    }

    /// The spool synced everything of `lane` up to `seq`.
    pub fn on_durable(&mut self, lane: Lane, seq: Seq) {
        if let Some(line) = self.lane_mut(lane) {
            line.durable = line.durable.max(seq);
        }
    }

    /// The spool dropped the oldest of `lane`, up to `upto`, to make room.
    ///
    /// A gap record of them belongs into the state lane; the caller writes it.
    pub fn on_dropped(&mut self, lane: Lane, upto: Seq) {
        if let Some(line) = self.lane_mut(lane) {
            line.on_dropped(upto);
        }
    }

    /// The spool's reader found `from..=to` of `lane` damaged.
    pub fn on_missing(&mut self, lane: Lane, from: Seq, to: Seq) {
        if let Some(line) = self.lane_mut(lane) {
            line.on_missing(from, to);
        }
    }

    /// An Ack came on the live connection.
    pub fn on_ack(&mut self, now: Mono, lane: Lane, stream: StreamId, seq: Seq) {
        if self.life.is_none() {
            self.counters.acks_stray += 1;
            return;
        }
        let Some(line) = self.lanes.iter_mut().find(|l| l.lane == lane && l.stream == stream)
        else {
            self.counters.acks_foreign += 1;
            return;
        };
        let before = (line.acked, line.flying_bytes);
        if !line.on_ack(seq) {
            self.counters.acks_ahead += 1;
            return;
        }
        if before != (line.acked, line.flying_bytes) {
            line.moved_at = Some(now);
        }
        let stuck = self.is_stuck(now);
        if let Some(life) = &mut self.life
            && life.suspected == Some(Why::Stuck)
            && !stuck
        {
            life.suspected = None;
            self.recovered = true;
        }
        self.settle(now);
    }

    /// The aggregator changed the window. 0 pauses.
    pub fn on_credit(&mut self, bytes: u64) {
        if let Some(life) = &mut self.life {
            life.credit = bytes;
        }
    }

    /// Begin no more turns on this connection: it will be left as soon as everything is acked.
    pub fn on_drain(&mut self) {
        if let Some(life) = &mut self.life {
            life.quiesced = true;
        }
    }

    /// Leaving was called off.
    pub fn on_resume(&mut self) {
        if let Some(life) = &mut self.life {
            life.quiesced = false;
        }
    }

    /// A frame was handed to the live connection.
    pub fn on_sent(&mut self, now: Mono, sent: Sent) {
        let current = self.life.is_some() && sent.life == self.lives;
        let taken = current
            && self.lane_mut(sent.lane).is_some_and(|line| line.on_sent(sent.seq, sent.bytes));
        if !taken {
            self.counters.sent_stray += 1;
        }
        self.settle(now);
    }

    /// The turn is over. `next_bytes`: length of the next frame when it did not fit, else 0.
    pub fn on_send_done(&mut self, now: Mono, life: u64, lane: Lane, next_bytes: u64) {
        if self.life.is_none() || life != self.lives {
            return;
        }
        if let Some(line) = self.lane_mut(lane)
            && let Some(turn) = line.turn.take()
        {
            line.want(turn.next, next_bytes);
            // Nothing came although it would have fitted, or it can never fit: do not spin.
            let fits = next_bytes <= turn.reserved || next_bytes > FRAME_BYTES_MAX;
            let nothing = !turn.sent_any && fits;
            line.retry_at = nothing.then(|| now.after(SPOOL_RETRY));
        }
    }

    /// A QUIC packet came on the live connection since the last look.
    pub fn on_rx(&mut self, now: Mono) {
        if let Some(life) = &mut self.life {
            life.rx_at = now;
            life.nudged = false;
            if life.suspected == Some(Why::Silent) {
                life.suspected = None;
                self.recovered = true;
            }
        }
    }

    /// The next thing to do; call until `None`, then sleep until [`Uplink::wake_at`].
    pub fn next(&mut self, now: Mono) -> Option<Order> {
        for line in &mut self.lanes {
            if let Some(upto) = line.release() {
                return Some(Order::Release { lane: line.lane, upto });
            }
        }
        if let Some(lane) = self.forks.pop() {
            let durable = self.lane_mut(lane)?.durable;
            return Some(Order::Forked { lane, durable });
        }
        self.settle(now);
        if std::mem::take(&mut self.recovered) {
            self.counters.recovered += 1;
            return Some(Order::Recovered);
        }
        if let Some(why) = self.suspicion(now) {
            return Some(Order::Suspect(why));
        }
        if self.is_nudge_due(now) {
            return Some(Order::Nudge);
        }
        self.turn(now)
    }

    /// When `next` must be called at the latest, if nothing happens before.
    pub fn wake_at(&self) -> Option<Mono> {
        let life = self.life.as_ref()?;
        let poll = life.unacked_since.map(|since| {
            let heard_at = life.rx_at.max(since);
            let clocks =
                [heard_at.after(self.timing.liveness / 2), heard_at.after(self.timing.liveness)];
            let ahead = clocks.into_iter().filter(|at| *at > life.looked_at);
            ahead.chain([life.looked_at.after(self.timing.poll)]).min().unwrap_or(life.looked_at)
        });
        let retries = self.lanes.iter().filter_map(|line| line.retry_at);
        let retry = if life.quiesced || life.credit == 0 { None } else { retries.min() };
        poll.into_iter().chain(retry).min()
    }

    /// The first message for any connection.
    pub fn hello(&self, probe: bool) -> Hello {
        let offer = |line: &LaneOut| LaneOffer {
            lane: line.lane,
            stream: line.stream,
            first_unacked: line.acked.next(),
            last: line.durable,
        };
        Hello {
            version: TALK_VERSION,
            host: self.speaker.host.clone(),
            datacenter: self.speaker.datacenter.clone(),
            agent_version: self.speaker.agent_version.clone(),
            probe,
            lanes: self.lanes.iter().map(offer).collect(),
            epoch: 0,
            turn: 0,
            roots: None,
        }
    }

    /// Nothing is under way and no turn is being written.
    pub fn is_quiet(&self) -> bool {
        self.lanes.iter().all(|line| line.flying_bytes == 0 && line.turn.is_none())
    }

    /// Bytes sent and not acked on the live connection.
    pub fn in_flight_bytes(&self) -> u64 {
        self.lanes.iter().map(|line| line.flying_bytes).sum()
    }

    /// Last seq of `lane` that was acked or dropped.
    pub fn acked(&self, lane: Lane) -> Seq {
        self.lanes.iter().find(|line| line.lane == lane).map_or(Seq::NONE, |line| line.acked)
    }

    /// What should not have happened, so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn lane_mut(&mut self, lane: Lane) -> Option<&mut LaneOut> {
        self.lanes.iter_mut().find(|line| line.lane == lane)
    }

    /// Some lane has waited for an ack for [`Timing::progress`]. Each lane has its own clock: a full disk
    /// may still take the few bytes of one lane while another is stuck for good.
    fn is_stuck(&self, now: Mono) -> bool {
        let waits = |line: &LaneOut| line.moved_at.filter(|_| line.flying_bytes > 0);
        self.lanes.iter().filter_map(waits).any(|at| now.since(at) >= self.timing.progress)
    }

    /// Starts or stops the clocks.
    fn settle(&mut self, now: Mono) {
        for line in &mut self.lanes {
            line.moved_at = if line.flying_bytes > 0 { line.moved_at.or(Some(now)) } else { None };
        }
        let unacked = self.in_flight_bytes() > 0;
        let Some(life) = &mut self.life else { return };
        if !unacked {
            life.unacked_since = None;
            self.recovered |= life.suspected.take().is_some();
        } else if life.unacked_since.is_none() {
            life.unacked_since = Some(now);
            life.nudged = false;
            life.looked_at = now;
        }
    }

    /// Looks at both clocks.
    fn suspicion(&mut self, now: Mono) -> Option<Why> {
        let timing = self.timing;
        let life = self.life.as_mut()?;
        let since = life.unacked_since?;
        let slept = now.since(life.looked_at);
        if slept > timing.poll * 3 {
            // We slept ourselves (a stopped process, a paused machine): the peer is not to blame.
            life.rx_at = now;
            for line in &mut self.lanes {
                line.moved_at = line.moved_at.map(|at| at.after(slept).min(now));
            }
        }
        life.looked_at = now;
        if life.suspected.is_some() {
            return None;
        }
        let silent = now.since(life.rx_at.max(since)) >= timing.liveness;
        let stuck = self.is_stuck(now);
        let life = self.life.as_mut()?;
        life.suspected = match (silent, stuck) {
            (true, _) => Some(Why::Silent),
            (false, true) => Some(Why::Stuck),
            (false, false) => None,
        };
        life.suspected
    }

    /// Half of the liveness time has passed without a packet: true once, until one comes.
    fn is_nudge_due(&mut self, now: Mono) -> bool {
        let half = self.timing.liveness / 2;
        let Some(life) = &mut self.life else { return false };
        let Some(since) = life.unacked_since else { return false };
        let due = !life.nudged && now.since(life.rx_at.max(since)) >= half;
        life.nudged |= due;
        due
    }

    /// Gives a turn to the most urgent lane that has something and for which there is room.
    fn turn(&mut self, now: Mono) -> Option<Order> {
        let life = self.life.as_ref().filter(|life| !life.quiesced && life.credit > 0)?;
        let window = life.credit.min(IN_FLIGHT_BYTES_MAX);
        let used: u64 = self.lanes.iter().map(|line| line.flying_bytes + line.reserved()).sum();
        let line = self.lanes.iter_mut().find(|line| line.is_ready(now))?;
        let kept = if line.lane == Lane::State { 0 } else { window / STATE_SHARE };
        let room = (window - kept).saturating_sub(used).min(FRAME_BYTES_MAX);
        // A frame that is longer than the whole window goes alone, or it would never go.
        let alone = if used == 0 { line.wants().max(1) } else { 0 };
        let bytes_max = room.max(alone);
        if bytes_max == 0 || bytes_max < line.wants() {
            return None;
        }
        line.retry_at = None;
        line.turn = Some(Turn { reserved: bytes_max, next: line.sent.next(), sent_any: false });
        Some(Order::Send { life: self.lives, lane: line.lane, from: line.sent.next(), bytes_max })
    }
}

#[cfg(test)]
mod tests;
