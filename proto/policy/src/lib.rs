//! Policy as data and pure decisions shared by agent, helper, aggregator and musterctl.
//!
//! Room: `policy`.  May use: `proto`.  Used by: agent, helper, aggregator, musterctl.
//!
//! Invariants
//! - No I/O, no clock, no async (lint: `.clippy.toml`): the same words give the same answer everywhere.

#![forbid(unsafe_code)]

pub mod selector;
