//! The Muster agent: one per host. Reads metrics, judges checks, tails logs, forwards all of it.
//!
//! Room: `agent`.  May use: `proto`, `policy`, `spool`, `link`.  Used by: its own `main`, tests.
//!
//! Inside, imports run `main → app → parts → facts/config → proto, spool`.

pub mod cli;
pub mod config;
pub mod facts;
pub mod host;
pub mod lanes;
pub mod metrics;
pub mod status;
pub mod uplink;
