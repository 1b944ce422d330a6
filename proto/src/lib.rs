//! The words of Muster: records, lanes, frames, limits, ids and the delivery conversation.
//!
//! Room: `proto`.  May use: nobody in the house.  Used by: everybody.
//!
//! Invariants
//! - No I/O, no clock, no randomness, no async: bytes, `now` and seeds are handed in (lint: `.clippy.toml`).
//! - Bytes from outside never panic: every decoder has a limit in [`limits`] and a fuzz target.
//! - A frame, once sealed, is opaque bytes until a sink opens it. Nothing here re-encodes one.
//! - Every released version of a format leaves a fixture in `fixtures/` that opens for ever.
//!
//! Absent on purpose: the spool (it knows no record), the network, configuration.

#![forbid(unsafe_code)]

pub mod cbor;
pub mod checks;
pub mod clock;
pub mod control;
pub mod digest;
pub mod errors;
pub mod failover;
pub mod frame;
pub mod ids;
pub mod lane;
pub mod limits;
pub mod log;
pub mod metric;
pub mod state;
pub mod talk;
pub mod verdict;
