//! What a check is: its words, its thresholds, its patience, and the one method that judges.

use muster_proto::verdict::Urgency;

pub use muster_proto::checks::{Bad, Pace, Scale};

use super::findings::Findings;
use super::gather::Case;

/// A question about the host that is answered again and again.
///
/// Open list, so a trait: the frame does not care which check it holds. Judging is pure, total and
/// deterministic: same case, same settings, same previous verdicts, same findings.
pub trait Check: Sync {
    /// Everything about the check that does not change.
    fn about(&self) -> &'static About;

    /// Answers from the case before it. Nothing found means: the object does not exist here, so neither does the check.
    fn judge(&self, case: &Case, out: &mut Findings<'_>);

    /// Stable id, `group.name`. Never reused for another question.
    fn id(&self) -> &'static str {
        self.about().id
    }
}

/// The words and numbers of a check.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Stable id, `group.name`.
    pub id: &'static str,
    /// A few words for a list.
    pub summary: &'static str,
    /// One to three sentences: what it asks, where the thresholds come from, what to do.
    pub manual: &'static str,
    /// What to do first, one line. A URL from the settings replaces it.
    pub runbook: &'static str,
    /// Who hears of it, unless the settings say otherwise.
    pub urgency: Urgency,
    /// What `warn` and `crit` mean here.
    pub scale: Scale,
    /// How long a change must last to count.
    pub pace: Pace,
}
