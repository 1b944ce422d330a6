//! The Muster aggregator: takes frames in, keeps them, answers questions about the fleet.
//!
//! Room: `aggregator`.  May use: `proto`, `policy`, `program`, `spool`, `link`.  Used by: its own `main`, tests.
//!
//! Inside, imports run `main → app → parts → config → proto, spool`.

pub mod api;
pub mod app;
pub mod authority;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod config;
pub mod fatal;
pub mod follow;
pub mod inbox;
pub mod incidents;
pub mod intake;
pub mod peers;
pub mod roster;
pub mod stores;
pub mod tokens;
