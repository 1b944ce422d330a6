//! Scenarios on a fleet of real Debian hosts. One binary: base trees are made once, and fleets follow
//! each other. How to write one stands at the head of `tests/src/fleet.rs`.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

mod hosts;
mod one_datacenter;
mod packages;
mod region;
