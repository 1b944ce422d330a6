//! Names of aggregators: SRV records, addresses, and the last good answers on disk.
//!
//! Room: `agent::names`.  May use: nothing of ours.  Used by: `uplink`.
//! Pure part: `srv.rs` (bytes in, records out), `servers.rs` (text of resolv.conf in), `kept.rs` (the
//! file of answers).  Impure part: `ask.rs` (UDP and TCP to a name server), `hosts.rs` (getaddrinfo).
//!
//! SRV records are asked for by ourselves, because libc has no call for them; addresses come from
//! libc, because /etc/hosts and nsswitch.conf count there.
//!
//! Invariants
//! - Who wants to dial never waits for a name server that does not answer, if the name ever had an
//!   answer: the last good one is used, also after a restart.
//! - A name server's bytes are bounded, checked, and never more than a reason to ask the next one.

mod ask;
mod hosts;
mod kept;
mod servers;
mod srv;

pub use ask::{LookupError, lookup_srv};
pub use hosts::{Hosts, LOOKUPS_MAX};
pub use kept::Kept;
pub use servers::Servers;
pub use srv::{Answer, AnswerError, Reply, SRV_RECORDS_MAX, Srv, encode_query, parse_answer};
