//! What all programs of the house have at their edge, where they meet people and systemd.
//!
//! Room: `proto/program`.  May use: `proto`, `policy`.  Used by: `agent`, `aggregator`, `musterctl`.
//!
//! Each program has its own words, its own `Fatal` and its own wiring. What would read the same in two
//! of them stands here once: exit codes, manual pages, listings, the journal, signals, sockets, the word to systemd.
//!
//! Absent on purpose: anything that knows what a program does.

pub mod exit;
pub mod journal;
pub mod lane;
pub mod listing;
pub mod manual;
pub mod notify;
pub mod owner;
pub mod pulse;
pub mod reference;
pub mod runtime;
pub mod socket;
