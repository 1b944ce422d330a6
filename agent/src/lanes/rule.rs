//! What a lane does when it is short of room. Pure: the keeper says what is short and obeys.
//!
//! | lane | over its budget | disk full | disk read-only or failing |
//! |---|---|---|---|
//! | `state` | oldest dropped | gathers, then waits | gathers, then waits |
//! | `metrics` | oldest dropped | gathers, then oldest dropped | gathers, then waits |
//! | `logs`, `bulk` | waits | waits | waits |
//!
//! *Gathers*: goes on taking deposits: first into files made beforehand, then in memory up to the
//! spool's staging limit. *Waits*: takes nothing,
//! so its queue fills: files and the journal keep their lines, a report is owed and told whole later, a
//! scrape is dropped at its source and counted.

use muster_proto::lane::Lane;
use muster_spool::CommitError;

/// What is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// The bytes the operator allows the lane.
    Budget,
    /// The room on the disk.
    Room,
    /// A disk that can be written: dropping would not help.
    Disk,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Give up the oldest frames, counted under this name.
    DropOldest {
        /// The limit that was reached.
        why: &'static str,
    },
    /// Take nothing until there is room.
    Wait,
}

impl Shortage {
    /// What a failed commit was short of.
    pub(super) fn of_disk(error: &CommitError) -> Shortage {
        match error {
            CommitError::NoRoom { .. } => Shortage::Room,
            CommitError::ReadOnly { .. } | CommitError::Disk { .. } => Shortage::Disk,
        }
    }
}

/// The table above.
pub(super) fn when_short(lane: Lane, shortage: Shortage) -> Rule {
    match (lane, shortage) {
        (Lane::State | Lane::Metrics, Shortage::Budget) => Rule::DropOldest { why: "spool-budget" },
        (Lane::Metrics, Shortage::Room) => Rule::DropOldest { why: "disk-full" },
        (Lane::State, Shortage::Room) | (_, Shortage::Disk) => Rule::Wait,
        (Lane::Logs | Lane::Bulk, Shortage::Budget | Shortage::Room) => Rule::Wait,
    }
}

/// Whether the lane takes deposits while its disk refuses. Lines are not gathered: they are safe where
/// they are, and there may be many.
pub(super) fn gathers_while_refused(lane: Lane) -> bool {
    matches!(lane, Lane::State | Lane::Metrics)
}
