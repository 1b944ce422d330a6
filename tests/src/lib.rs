//! Whole-system tests, fuzz targets and benches. Nothing imports it.
//!
//! Room: `tests`.  May use: everything.
//!
//! [`rig`] starts real processes on this host: aggregators, agents, musterctl. A test is a short story:
//! build a rig, act, ask musterctl, assert. [`fleet`] does the same with whole Debian hosts.

#![forbid(unsafe_code)]

pub mod bench;
pub mod fleet;
pub mod fuzz;
pub mod packages;
pub mod rig;
pub mod swarm;
