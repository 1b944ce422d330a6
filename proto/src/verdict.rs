//! Verdicts of checks: Nagios' four states, and how urgent a problem is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The answer of a check. The order is Nagios' exit code; use [`Verdict::badness`] to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// Look at it in working hours.
    Warn,
    /// Broken or about to break.
    Crit,
    /// The question could not be answered; the message says why.
    Unknown,
}

impl Verdict {
    /// How bad: ok 0, unknown 1, warn 2, crit 3. The worst of several is the one with the most.
    pub fn badness(self) -> u8 {
        match self {
            Verdict::Ok => 0,
            Verdict::Unknown => 1,
            Verdict::Warn => 2,
            Verdict::Crit => 3,
        }
    }

    /// The word used in tables, JSON and labels.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Crit => "crit",
            Verdict::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who should hear of a problem, and when. Independent of how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// Visible, nobody is told.
    Info,
    /// Somebody in working hours.
    Ticket,
    /// Somebody now.
    Page,
}

impl Urgency {
    /// The word used in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Urgency::Info => "info",
            Urgency::Ticket => "ticket",
            Urgency::Page => "page",
        }
    }
}
