//! The Muster aggregator: takes frames in, keeps them, answers questions about the fleet.

pub mod api;
pub mod roster;
pub mod stores;
