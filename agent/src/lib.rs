//! The Muster agent: one per host. Reads metrics, judges checks, tails logs, forwards all of it.
//!
//! Room: `agent`.  May use: `proto`, `policy`, `program`, `spool`, `link`.  Used by: its own `main`, tests.
//!
//! Inside, imports run `main → app → parts → facts/config → proto, spool`.

pub mod app;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod config;
pub mod departure;
pub mod facts;
pub mod fatal;
pub mod host;
pub mod lanes;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod own_metrics;
pub mod report;
pub mod scrape;
pub mod status;
pub mod uplink;
