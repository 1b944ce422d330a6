//! The CBOR of a log frame's body, as borrowed slices on both sides.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::LogSource;
use crate::limits::LOG_SOURCES_MAX;

/// What is written.
#[derive(Debug, Serialize)]
pub(super) struct BodyOut<'a> {
    pub(super) sources: &'a [LogSource],
    pub(super) start: i64,
    #[serde(with = "serde_bytes")]
    pub(super) runs: &'a [u8],
    #[serde(with = "serde_bytes")]
    pub(super) times: &'a [u8],
    #[serde(with = "serde_bytes")]
    pub(super) severities: &'a [u8],
    #[serde(with = "serde_bytes")]
    pub(super) flags: &'a [u8],
    #[serde(with = "serde_bytes")]
    pub(super) lens: &'a [u8],
    #[serde(with = "serde_bytes")]
    pub(super) blob: &'a [u8],
}

/// What is read. The byte strings are slices of the decompressed body.
#[derive(Debug, Deserialize)]
pub(super) struct BodyIn<'a> {
    #[serde(deserialize_with = "few_sources")]
    pub(super) sources: Vec<LogSource>,
    pub(super) start: i64,
    #[serde(borrow, with = "serde_bytes")]
    pub(super) runs: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    pub(super) times: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    pub(super) severities: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    pub(super) flags: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    pub(super) lens: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    pub(super) blob: &'a [u8],
}

/// Stops at `LOG_SOURCES_MAX` instead of building whatever a body announces.
fn few_sources<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<LogSource>, D::Error> {
    struct Few;

    impl<'de> Visitor<'de> for Few {
        type Value = Vec<LogSource>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {LOG_SOURCES_MAX} sources")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<LogSource>, A::Error> {
            let mut sources = Vec::new();
            while let Some(source) = seq.next_element()? {
                if sources.len() == LOG_SOURCES_MAX {
                    return Err(A::Error::invalid_length(sources.len() + 1, &self));
                }
                sources.push(source);
            }
            Ok(sources)
        }
    }

    from.deserialize_seq(Few)
}
