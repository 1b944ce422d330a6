//! The Muster agent: one per host. Reads metrics, judges checks, tails logs, forwards all of it.

pub mod logs;
