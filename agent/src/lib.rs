//! The Muster agent: one per host. Reads metrics, judges checks, tails logs, forwards all of it.

pub mod checks;
pub mod facts;
pub mod host;
pub mod metrics;
