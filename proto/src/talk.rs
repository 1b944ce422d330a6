//! The delivery conversation: what agent and aggregator say so that every frame arrives once.
//!
//! Room: `proto/talk`.  May use: `proto`.  Used by: the pumps of `agent` and `aggregator`.
//!
//! Three sentences: ack only after sync; release only after ack; drop only at a named limit, count it.
//!
//! - [`uplink`]: the agent's half, for one connection life after another.
//! - [`intake`]: the aggregator's half, for one connection.
//! - [`dict`]: what a lane stream has been told that its frames need.
//! - [`marks`]: how far each stream has come at one aggregator, over all its connections.
//!
//! # What is said
//! ```text
//! agent                                                   aggregator
//!   Hello{lanes: stream, first_unacked, last}  ────────────▶  compares with its marks
//!   ◀────────────────────────  Welcome{known: stream, durable; credit_bytes}  | Refused{why}
//!   frames, one ordered QUIC stream per lane  ─────────────▶  append, group sync
//!   ◀───────────────────────────────────────  Ack{lane, stream, seq}   (cumulative)
//!   ◀───────────────────────────────────────  Credit{bytes}, Drain{reason, retry_after}
//! ```
//!
//! # Why nothing is lost
//! An aggregator's mark may stand above frames it never got, but only when each of them was acked by
//! another aggregator or dropped at a named limit: the agent starts after `max(own acked, theirs)`
//! and sends without holes from there. So a mark, once synced, covers everything below it, and a
//! [`Welcome`](crate::control::Welcome) that names it counts as an ack. This needs the two rules a
//! pump must keep: a lane stream that breaks breaks its whole connection, and a refused frame too.
//!
//! # Why nothing is doubled at one aggregator
//! Every frame passes [`marks::Marks::offer`] in the committer, which is one thread per lane. Two
//! connections of one stream (an old half-dead one and its successor) are both ordered, so what either
//! brings is the next frame or one that is already there.
//!
//! Absent on purpose: failover (who to talk to) is [`crate::failover`]; bytes on the wire are the link.

pub mod dict;
pub mod intake;
pub mod marks;
pub mod uplink;
