//! The aggregator's half of the delivery conversation, for one connection.
//!
//! Room: `proto/talk`.  May use: `control`, `frame`, `limits`.  Used by: the aggregator's intake pump.
//!
//! # The loop around it
//! ```text
//! hello = control.recv()
//! match intake.on_hello(&hello, &peer.name, |lane, stream| marks_of(lane).known(&peer.name, stream)) {
//!     Greeting::Welcome(w) => control.send(Welcome(w)),     if hello.probe: answer, then close
//!     Greeting::Refused(why) => control.send(Refused{why.to_string()}), close
//! }
//! loop { select!
//!     frame from a lane     => match intake.on_frame(&frame.header) {
//!                                  Store  => committer.send(frame),      bounded queue: wait here
//!                                  Repeat => {}
//!                                  Refused(why) => control.send(Refused{why}), close
//!                              }
//!     FromAgent::Nudge      => {}                                        QUIC has answered already
//!     committer's answer    => intake.on_stored(lane, stream, durable)   see `marks`
//!     credit changes        => intake.grant(bytes)
//!     the program stops     => intake.drain("stop", retry_after)
//!     then                  => while let Some(say) = intake.next() { control.send(say) }
//! }
//! ```
//! `accept_lane` streams whose frames are for another lane than announced are refused frame by frame:
//! [`Intake::on_frame`] looks at the header only.
//!
//! Invariants
//! - An Ack names only what the committer said is synced.
//! - A frame that is refused ends the connection; otherwise its successor would be acked over a hole.
//! - Held bytes are bounded by the credit that was given plus one frame.
//!
//! Absent on purpose: the clock. Whoever hears nothing from a host for too long is the roster.

mod words;

use std::collections::VecDeque;
use std::time::Duration;

use crate::control::{FromAggregator, Hello, LaneKnown, LaneOffer, TALK_VERSION, Welcome};
use crate::frame::{Header, Kind};
use crate::ids::{Seq, StreamId};
use crate::lane::Lane;
use crate::limits::{FRAME_BYTES_MAX, NAME_BYTES_MAX};
use crate::talk::marks::Known;

pub use words::{Counters, Greeting, Objection, Refusal, Speaker, Verdict};

/// One lane of the connection.
#[derive(Debug)]
struct LaneIn {
    lane: Lane,
    stream: StreamId,
    /// Last seq that came on this connection; `NONE` before the first.
    came: Seq,
    /// Last seq before the one that is expected.
    expected_after: Seq,
    durable: Seq,
    ack_due: bool,
    /// Frames handed to the committer and not yet stored: seq and bytes.
    held: VecDeque<(Seq, u64)>,
}

#[derive(Debug)]
enum State {
    /// Nothing was said yet.
    Silent,
    /// Frames may come.
    Live,
    /// A probe was answered, or something was refused: nothing may come.
    Over,
}

/// One connection, seen from the aggregator.
#[derive(Debug)]
pub struct Intake {
    speaker: Speaker,
    state: State,
    lanes: Vec<LaneIn>,
    credit: u64,
    credit_max: u64,
    credit_due: bool,
    drain: Option<(String, Duration)>,
    drain_due: bool,
    held_bytes: u64,
    counters: Counters,
}

impl Intake {
    /// A connection on which nothing was said yet. `credit_bytes` goes into the Welcome.
    pub fn new(speaker: Speaker, credit_bytes: u64) -> Intake {
        Intake {
            speaker,
            state: State::Silent,
            lanes: Vec::new(),
            credit: credit_bytes,
            credit_max: credit_bytes,
            credit_due: false,
            drain: None,
            drain_due: false,
            held_bytes: 0,
            counters: Counters::default(),
        }
    }

    /// The agent said who it is. `certificate` is the name the handshake proved; `known` asks the
    /// marks ([`Marks::known`](crate::talk::marks::Marks::known)) of the stream's lane.
    pub fn on_hello(
        &mut self,
        hello: &Hello,
        certificate: &str,
        known: impl Fn(Lane, StreamId) -> Known,
    ) -> Greeting {
        let answer = self.judge(hello, certificate, known);
        match answer {
            Ok(lanes) => {
                self.state = if hello.probe { State::Over } else { State::Live };
                self.lanes = lanes;
                Greeting::Welcome(self.welcome())
            }
            Err(refusal) => {
                self.state = State::Over;
                Greeting::Refused(refusal)
            }
        }
    }

    /// A frame's header came; its checksums were checked by the link.
    pub fn on_frame(&mut self, header: &Header) -> Verdict {
        match self.take(header) {
            Ok(Verdict::Store) => {
                self.counters.frames += 1;
                Verdict::Store
            }
            Ok(verdict) => {
                self.counters.repeats += 1;
                verdict
            }
            Err(objection) => {
                self.counters.refused += 1;
                self.state = State::Over;
                Verdict::Refused(objection)
            }
        }
    }

    /// The committer says: everything of `stream` up to `seq` is on disk, synced. Frames of other
    /// connections count; a stream this connection did not offer is not its business.
    pub fn on_stored(&mut self, lane: Lane, stream: StreamId, seq: Seq) {
        let Some(line) = self.lanes.iter_mut().find(|l| l.lane == lane && l.stream == stream)
        else {
            return;
        };
        line.durable = line.durable.max(seq);
        line.ack_due = true;
        while let Some((_, bytes)) = line.held.pop_front_if(|(held, _)| *held <= seq) {
            self.held_bytes = self.held_bytes.saturating_sub(bytes);
        }
    }

    /// From now on the agent may have `bytes` under way. 0 pauses it.
    pub fn grant(&mut self, bytes: u64) {
        self.credit_due |= bytes != self.credit;
        self.credit = bytes;
        self.credit_max = self.credit_max.max(bytes);
    }

    /// Asks the agent to go elsewhere. Before the Hello: the Hello will be refused.
    pub fn drain(&mut self, reason: &str, retry_after: Duration) {
        self.drain = Some((reason.to_owned(), retry_after));
        self.drain_due = true;
    }

    /// What to say now; call until `None`. Acks are coalesced: one per lane, the latest.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: it has more to say later")]
    pub fn next(&mut self) -> Option<FromAggregator> {
        if !matches!(self.state, State::Live) {
            return None;
        }
        if let Some(line) = self.lanes.iter_mut().find(|line| line.ack_due) {
            line.ack_due = false;
            self.counters.acks += 1;
            return Some(FromAggregator::Ack {
                lane: line.lane,
                stream: line.stream,
                seq: line.durable,
            });
        }
        if std::mem::take(&mut self.credit_due) {
            return Some(FromAggregator::Credit { bytes: self.credit });
        }
        if std::mem::take(&mut self.drain_due) {
            return self.drain.as_ref().map(|(reason, retry_after)| FromAggregator::Drain {
                reason: reason.clone(),
                retry_after_ms: u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX),
            });
        }
        None
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes handed to the committer and not yet stored. When the agent has left, wait for 0.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    fn judge(
        &self,
        hello: &Hello,
        certificate: &str,
        known: impl Fn(Lane, StreamId) -> Known,
    ) -> Result<Vec<LaneIn>, Refusal> {
        if !matches!(self.state, State::Silent) {
            return Err(Refusal::Again);
        }
        if hello.version != TALK_VERSION {
            return Err(Refusal::Version { theirs: hello.version });
        }
        if !hello.host.eq_ignore_ascii_case(certificate) {
            let hello = hello.host.chars().take(NAME_BYTES_MAX / 4).collect();
            return Err(Refusal::Name { certificate: certificate.to_owned(), hello });
        }
        for (field, text) in
            [("datacenter", &hello.datacenter), ("agent version", &hello.agent_version)]
        {
            if text.len() > NAME_BYTES_MAX {
                return Err(Refusal::Field { field });
            }
        }
        if let Some((reason, _)) = &self.drain {
            return Err(Refusal::Draining { reason: reason.clone() });
        }
        let mut lanes: Vec<LaneIn> = Vec::new();
        for offer in &hello.lanes {
            if lanes.iter().any(|l| l.lane == offer.lane || l.stream == offer.stream) {
                return Err(Refusal::Field { field: "list of lanes" });
            }
            lanes.push(open_lane(offer, known(offer.lane, offer.stream))?);
        }
        Ok(lanes)
    }

    fn welcome(&self) -> Welcome {
        let known = |line: &LaneIn| LaneKnown {
            lane: line.lane,
            stream: line.stream,
            durable: line.durable,
        };
        let lanes = self.lanes.iter().filter(|line| line.durable > Seq::NONE);
        Welcome {
            aggregator: self.speaker.aggregator.clone(),
            datacenter: self.speaker.datacenter.clone(),
            known: lanes.map(known).collect(),
            credit_bytes: self.credit,
        }
    }

    fn take(&mut self, header: &Header) -> Result<Verdict, Objection> {
        if !matches!(self.state, State::Live) {
            return Err(Objection::NotWelcome);
        }
        let lane = header.lane;
        let line =
            self.lanes.iter_mut().find(|line| line.lane == lane).ok_or(Objection::Lane(lane))?;
        if line.stream != header.stream {
            return Err(Objection::Stream { lane, stream: header.stream });
        }
        if lane_of(header.kind) != lane {
            return Err(Objection::Kind { lane, kind: header.kind });
        }
        if header.kind == Kind::Dict {
            return Ok(Verdict::Store);
        }
        let seq = header.seq;
        if seq < line.came || seq == Seq::NONE {
            return Err(Objection::Backwards { lane, seq, after: line.came });
        }
        let again = seq == line.came;
        line.came = seq;
        if again || seq <= line.durable {
            line.ack_due = true;
            line.expected_after = line.expected_after.max(seq);
            return Ok(Verdict::Repeat);
        }
        let bytes = header.frame_len() as u64;
        let held = self.held_bytes + bytes;
        if held > self.credit_max.saturating_add(FRAME_BYTES_MAX) {
            return Err(Objection::OverCredit { held, credit: self.credit_max });
        }
        self.counters.jumped += seq.0.saturating_sub(line.expected_after.next().0);
        line.expected_after = line.expected_after.max(seq);
        line.held.push_back((seq, bytes));
        self.held_bytes = held;
        Ok(Verdict::Store)
    }
}

fn open_lane(offer: &LaneOffer, known: Known) -> Result<LaneIn, Refusal> {
    let LaneOffer { lane, stream, first_unacked, last } = *offer;
    let durable = match known {
        Known::New => Seq::NONE,
        Known::Durable(seq) => seq,
        Known::OtherHost => return Err(Refusal::OtherHost { lane, stream }),
    };
    if first_unacked == Seq::NONE || first_unacked > last.next() {
        return Err(Refusal::Field { field: "first unacked frame" });
    }
    Ok(LaneIn {
        lane,
        stream,
        came: Seq::NONE,
        expected_after: durable.max(Seq(first_unacked.0 - 1)),
        durable,
        ack_due: false,
        held: VecDeque::new(),
    })
}

/// The lane that a kind of body travels on.
fn lane_of(kind: Kind) -> Lane {
    match kind {
        Kind::State => Lane::State,
        Kind::Metric | Kind::Dict => Lane::Metrics,
        Kind::Log => Lane::Logs,
        Kind::Bulk => Lane::Bulk,
    }
}

#[cfg(test)]
mod tests;
