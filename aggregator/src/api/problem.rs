//! What is wrong with a question, as RFC 9457 problem+json.

use serde::{Deserialize, Serialize};

/// Why a question has no answer.
///
/// # Shape
/// JSON `{"type":"about:blank#not-found","title":"Not found","status":404,"detail":"no host …"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct Problem {
    /// Which kind; stable, for programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which kind, for people.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
}

impl Problem {
    /// The question has a mistake.
    pub fn question(detail: impl Into<String>) -> Problem {
        Problem::new(400, "question", "The question has a mistake", detail)
    }

    /// The asker is not known.
    pub fn unknown_reader(detail: impl Into<String>) -> Problem {
        Problem::new(401, "unauthenticated", "Who asks is not known", detail)
    }

    /// The asker may not.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(403, "forbidden", "Not allowed", detail)
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(404, "not-found", "Not found", detail)
    }

    /// The method is not for reading.
    pub fn method(detail: impl Into<String>) -> Problem {
        Problem::new(405, "method", "Only GET and HEAD are answered", detail)
    }

    /// The answer would be larger than allowed.
    pub fn too_much(detail: impl Into<String>) -> Problem {
        Problem::new(422, "too-much", "The answer would be too large", detail)
    }

    /// Too many ask at once.
    pub fn busy(detail: impl Into<String>) -> Problem {
        Problem::new(503, "busy", "Too many questions at once", detail)
    }

    /// It took too long.
    pub fn timeout(detail: impl Into<String>) -> Problem {
        Problem::new(504, "timeout", "The answer took too long", detail)
    }

    /// Our fault.
    pub fn ours(detail: impl Into<String>) -> Problem {
        Problem::new(500, "internal", "The aggregator failed", detail)
    }

    fn new(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("about:blank#{kind}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
        }
    }
}
