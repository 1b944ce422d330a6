//! What the failover machine remembers in each state. The drawing is in [`super`].

use crate::clock::Mono;

use super::Leave;
use super::race::Race;
use super::sites::Site;

#[derive(Debug)]
pub(super) enum State {
    Resolve { until: Mono },
    Race(Race),
    Live { link: Link, errand: Errand },
    Drain { link: Link, heir: Heir, until: Mono, leave: Leave },
    Backoff { until: Mono },
}

/// The live connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) attempt: u32,
    pub(super) site: Site,
    pub(super) since: Mono,
    /// When to look for a better ranked one.
    pub(super) age_at: Mono,
    pub(super) suspected: bool,
    pub(super) asked: bool,
}

/// What goes on beside a live connection.
#[derive(Debug)]
pub(super) enum Errand {
    None,
    /// Away from here: suspected, or asked to go.
    Flee(Race),
    /// Nobody else answered; again then.
    Rest {
        until: Mono,
    },
    /// To somebody better, in this datacenter.
    Better(Race, usize),
}

/// The next live connection: its Welcome came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heir {
    pub(super) attempt: u32,
    pub(super) site: Site,
}

impl State {
    /// The race that is on, if any.
    pub(super) fn race(&self) -> Option<&Race> {
        match self {
            State::Race(race)
            | State::Live { errand: Errand::Flee(race) | Errand::Better(race, _), .. } => {
                Some(race)
            }
            _ => None,
        }
    }

    /// The race that is on, if any.
    pub(super) fn race_mut(&mut self) -> Option<&mut Race> {
        match self {
            State::Race(race)
            | State::Live { errand: Errand::Flee(race) | Errand::Better(race, _), .. } => {
                Some(race)
            }
            _ => None,
        }
    }

    /// The live connection, if any.
    pub(super) fn link(&self) -> Option<&Link> {
        match self {
            State::Live { link, .. } | State::Drain { link, .. } => Some(link),
            _ => None,
        }
    }
}
