//! The admins' will as data: documents, selectors and the pure decisions made from them.
//!
//! Room: `policy`.  May use: `proto`.  Used by: agent, helper, aggregator, musterctl.
//!
//! Invariants
//! - No async, no clock (lint: `.clippy.toml`), and no I/O but reading the files of a document: text and `now` come in, values and
//!   complaints go out.
//! - A wrong document is refused with every mistake at once, each with file, line, column and a hint.
//!
//! Absent on purpose: verifying who may write the files.

#![forbid(unsafe_code)]

pub mod document;
pub mod selector;
