//! What was last heard about revocations, for our own checks.

use std::sync::{Mutex, PoisonError};

use muster_proto::clock::Utc;

use crate::checks::RevocationFacts;

/// What was last heard about revocations. Shared between who asks and who judges.
#[derive(Debug)]
pub struct Heard(Mutex<RevocationFacts>);

impl Heard {
    /// Nothing was heard yet; its age counts from now.
    pub fn new(now: Utc) -> Heard {
        Heard(Mutex::new(RevocationFacts { heard_at: now, trouble: None }))
    }

    /// Everybody was asked once: when an authority answered, if one did, and what was refused.
    pub fn on_round(&self, heard_at: Option<Utc>, trouble: Option<String>) {
        let mut facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = trouble.as_ref().filter(|_| trouble != facts.trouble) {
            tracing::error!(error = news, "A revocation list is not taken.");
        }
        facts.heard_at = heard_at.unwrap_or(facts.heard_at);
        facts.trouble = trouble;
    }

    /// What is known.
    pub fn facts(&self) -> RevocationFacts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
