//! What an aggregator says of its own health, in the shape of a host's checks.
//!
//! Room: `checks`.  May use: `proto`.  Used by: the app, which gathers the facts; `commands`, for the manual.
//!
//! ```text
//! app: Facts, once a second ──> each check judges the Look ──> Board debounces ──> CheckState ──> api
//! ```
//! The rows stand under the aggregator's own name as host. An agent on the same machine has checks of other
//! ids, so neither hides the other.
//!
//! Invariants
//! - Pure: facts and time are handed in. Nothing here writes, so a full disk silences nothing.
//! - An object that is gone from the facts has no row; the facts name what the configuration names.
//!
//! Absent on purpose: settings for thresholds, evidence, a memory that survives a restart.

use std::fmt::Write as _;
use std::time::Duration;

use muster_proto::checks::{Pace, Scale};
use muster_proto::clock::Utc;
use muster_proto::verdict::{Urgency, Verdict};

mod board;
mod certificate;
mod disk;
mod facts;
mod inbox;
mod limits;
mod peer;
mod revocations;
mod store;
#[cfg(test)]
mod tests;

pub use board::{Board, VALID_FOR_S};
pub use facts::{CertificateFacts, Facts, LaneFacts, RevocationFacts, StoreFacts};

/// Time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Every check of an aggregator, in the order of the manual.
pub const CHECKS: &[&dyn Check] = &[
    &disk::Disk,
    &inbox::LaneInbox,
    &store::Store,
    &peer::Peer,
    &certificate::Certificate,
    &revocations::Revocations,
    &limits::Limits,
];

/// A question about this aggregator that is answered at each look.
pub trait Check: Sync {
    /// Everything about the check that does not change.
    fn about(&self) -> &'static About;

    /// Answers from the look. No answer means: the object does not exist here.
    fn judge(&self, look: &Look<'_>, out: &mut Vec<Answer>);
}

/// The words and numbers of a check.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Stable id, `aggregator.name`.
    pub id: &'static str,
    /// What it asks and when it is bad; sentences for the manual.
    pub manual: &'static str,
    /// What to do first, one line.
    pub runbook: &'static str,
    /// Who hears of it.
    pub urgency: Urgency,
    /// Thresholds, where the answer is a number.
    pub scale: Scale,
    /// How long a change must last to count.
    pub pace: Pace,
}

/// What one look has before it.
pub struct Look<'a> {
    /// What the aggregator says now.
    pub facts: &'a Facts,
    /// What it said at the look before; `None` at the first.
    pub before: Option<&'a Facts>,
    /// Wall time of the look.
    pub now: Utc,
    /// What is shown of an instance of the check that judges.
    pub shown: &'a dyn Fn(&str) -> Option<Verdict>,
}

/// One answer, not debounced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which object; empty when there is only one.
    pub instance: String,
    /// What it says.
    pub verdict: Verdict,
    /// One line with the numbers.
    pub message: String,
}

impl Look<'_> {
    /// An answer about a number on the check's scale, with its dead-band.
    fn level(&self, scale: &Scale, instance: &str, (value, message): (f64, String)) -> Answer {
        let verdict = scale.judge(value, (self.shown)(instance));
        Answer { instance: instance.to_owned(), verdict, message }
    }
}

/// The section of the manual page, roff.
pub fn manual() -> String {
    let mut page = String::from(
        "An aggregator judges itself every second. Its checks stand under its own name as host in musterctl checks,\n\
         count in musterctl status, and are muster_check_state on /federate.\n",
    );
    for about in CHECKS.iter().map(|check| check.about()) {
        let urgency = about.urgency.name();
        let _ = writeln!(page, ".TP\n\\fB{}\\fR ({urgency})", about.id);
        let _ = writeln!(page, "{}\n.br\nFirst step: {}.", about.manual, about.runbook);
    }
    page.replace('-', "\\-")
}

/// A share in whole percent.
fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A length of time in its two largest units.
fn span(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}
