//! QUIC and TLS for Muster: dial, listen, identity. The only crate that names quinn or rustls.
//!
//! Room: `link`.  May use: `proto`.  Used by: `agent`, `aggregator`.
//!
//! ```text
//! Dialer ──dial──┐                        ┌── accept ── Listener
//!                ├─ Connection: control, lanes, asks ─┤
//! IdentityStore ─┘   (mutual TLS 1.3)     └─ IdentityStore
//!                                          Arrival::Enrol ← enrol() with a Token
//! Ca: issues, revokes, keeps tokens
//! ```
//!
//! Invariants
//! - Nobody gets a [`Connection`] whose peer's certificate was not verified and not revoked.
//! - Bytes from a peer never panic, hang or fill memory: every message has a limit, every stream a
//!   window, every handshake a deadline.
//! - Each failed handshake has its own sentence on both sides ([`LinkError`], [`Event`]).
//! - Certificates, CAs and revocations change without a restart ([`IdentityStore::reload`]).
//!
//! Absent on purpose: when to dial whom (the uplink decides), what messages mean (`proto`), retries.

#![forbid(unsafe_code)]

mod admission;
mod ask;
pub mod ca;
mod cbor;
mod connection;
mod control;
pub mod crypto;
mod dial;
pub mod enrol;
mod error;
mod files;
pub mod identity;
mod intake;
mod keys;
mod lane;
mod listen;
mod peer;
mod revocations;
pub mod roots;
mod socket;
mod steer;
mod store;
mod tls;
pub mod token;
mod tuning;
pub mod web;

#[cfg(test)]
mod tests;

pub use ask::Ask;
pub use connection::Connection;
pub use control::{ControlRx, ControlTx};
pub use crypto::warm;
pub use dial::Dialer;
pub use enrol::{EnrolRequest, enrol};
pub use error::{CertFault, Close, LinkError};
pub use identity::{Identity, IdentityError, RenewalClock};
pub use keys::{EndpointKeys, KeysError};
pub use lane::{LaneFrame, LaneRx, LaneTx};
pub use listen::{Arrival, Counts, Event, Listener, Watch};
pub use peer::{NotAPeer, Peer, Role};
pub use revocations::ListRefused;
pub use socket::Granted;
pub use steer::DOORS_MAX;
pub use store::{Clock, IdentityStore, system_clock};
pub use tls::{ALPN_ENROL, ALPN_MUSTER};
pub use tuning::{Streams, Tuning};
