//! The admins' will as data: documents, selectors and the pure decisions made from them.
//!
//! Room: `policy`.  May use: `proto`.  Used by: agent, helper, aggregator, musterctl.
//!
//! Invariants
//! - No I/O, no clock: text and `now` come in, values and complaints go out.
//! - A wrong document is refused with every mistake at once, each with file, line, column and a hint.
//!
//! Absent on purpose: reading files, verifying who may write them.

#![forbid(unsafe_code)]

pub mod document;
