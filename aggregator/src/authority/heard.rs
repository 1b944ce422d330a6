//! What was last heard about revocations, for our own checks.

use std::sync::{Mutex, PoisonError};

use muster_proto::clock::Utc;

use crate::checks::RevocationFacts;

/// What was last heard about revocations. Shared between who asks and who judges.
#[derive(Debug)]
pub struct Heard(Mutex<Memory>);

/// Rounds in a row in which something was refused, before that is told. When authorities change, a list may
/// arrive a round before the authority that has signed it.
const BAD_ROUNDS_MIN: u32 = 3;

#[derive(Debug)]
struct Memory {
    facts: RevocationFacts,
    bad_rounds: u32,
}

impl Heard {
    /// Nothing was heard yet; its age counts from now.
    pub fn new(now: Utc) -> Heard {
        let facts = RevocationFacts { heard_at: now, trouble: None };
        Heard(Mutex::new(Memory { facts, bad_rounds: 0 }))
    }

    /// Everybody was asked once: when an authority answered, if one did, and what was refused.
    pub fn on_round(&self, heard_at: Option<Utc>, trouble: Option<String>) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.bad_rounds = if trouble.is_some() { memory.bad_rounds.saturating_add(1) } else { 0 };
        let trouble = trouble.filter(|_| memory.bad_rounds >= BAD_ROUNDS_MIN);
        let facts = &mut memory.facts;
        if let Some(news) = trouble.as_ref().filter(|_| trouble != facts.trouble) {
            tracing::error!(error = news, "A revocation list is not taken.");
        }
        facts.heard_at = heard_at.unwrap_or(facts.heard_at);
        facts.trouble = trouble;
    }

    /// What is known.
    pub fn facts(&self) -> RevocationFacts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).facts.clone()
    }
}
