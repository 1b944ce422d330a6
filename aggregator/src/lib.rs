//! The Muster aggregator: takes frames in, keeps them, answers questions about the fleet.
//!
//! Room: `aggregator`.  May use: `proto`, `policy`, `spool`, `link`.  Used by: its own `main`, tests.
//!
//! Inside, imports run `main → app → parts → config → proto, spool`.

pub mod api;
pub mod cli;
pub mod config;
pub mod inbox;
pub mod roster;
pub mod stores;
