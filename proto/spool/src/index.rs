//! What the writer and its readers share: which segment holds which seqs, and how far it is durable.
//!
//! Room: `spool`.  Used by: `writer`, `release`, `reader`, `tool`.
//! About 100 bytes a segment and 16 bytes a [`PLACE_BYTES`] written by this process, never per entry.

use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::format::HEADER_BYTES;
use crate::limits::{MISSING_RANGES_MAX, PLACE_BYTES};

/// One segment that holds kept entries.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) id: u64,
    /// First seq it may hold.
    pub(crate) first: u64,
    /// Last seq it may hold; `first - 1` when it holds none.
    pub(crate) last: u64,
    /// Where its durable bytes end.
    pub(crate) end: u64,
    /// Some `(seq, offset)` on the way, ascending.
    pub(crate) places: Vec<(u64, u64)>,
    /// A reader found damage in it.
    pub(crate) damaged: bool,
}

impl Kept {
    pub(crate) fn new(id: u64, first: u64) -> Kept {
        Kept { id, first, last: first - 1, end: HEADER_BYTES, places: Vec::new(), damaged: false }
    }

    /// Entries it may hold.
    pub(crate) fn entries(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    pub(crate) fn remember(&mut self, seq: u64, at: u64) {
        let is_far = self.places.last().is_none_or(|(_, last)| at >= last + PLACE_BYTES);
        if is_far && at > HEADER_BYTES {
            self.places.push((seq, at));
        }
    }
}

/// The shared state behind its lock.
#[derive(Debug)]
pub(crate) struct Index {
    /// Oldest first; ranges of seqs never overlap.
    pub(crate) segments: VecDeque<Kept>,
    /// Last seq a reader may see.
    pub(crate) durable: u64,
    /// Oldest seq still kept.
    pub(crate) first: u64,
    /// Ranges found missing so far.
    missing: BTreeMap<u64, u64>,
    /// Entries in those ranges.
    pub(crate) missing_entries: u64,
}

/// Where a seq is to be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Not written, or not durable yet.
    NotYet,
    /// Released or dropped, or in no file; the next seq that may be found follows `to`.
    Nowhere { to: u64 },
    /// In this segment, at or behind `at`.
    In { segment: u64, first: u64, last: u64, at: u64, end: u64 },
}

impl Index {
    pub(crate) fn new(segments: VecDeque<Kept>, first: u64, durable: u64) -> Index {
        Index { segments, durable, first, missing: BTreeMap::new(), missing_entries: 0 }
    }

    pub(crate) fn find(&self, seq: u64) -> Spot {
        if seq > self.durable {
            return Spot::NotYet;
        }
        if seq < self.first {
            return Spot::Nowhere { to: self.first - 1 };
        }
        let after = self.segments.partition_point(|kept| kept.first <= seq);
        let next_first = self.segments.get(after).map_or(self.durable + 1, |kept| kept.first);
        match after.checked_sub(1).and_then(|place| self.segments.get(place)) {
            Some(kept) if seq <= kept.last => {
                let near = kept.places.partition_point(|(first, _)| *first <= seq);
                let at = near.checked_sub(1).map_or(HEADER_BYTES, |place| kept.places[place].1);
                let (first, last) = (kept.first, kept.last);
                Spot::In { segment: kept.id, first, last, at, end: kept.end }
            }
            _ => Spot::Nowhere { to: next_first - 1 },
        }
    }

    /// Counts a range as missing, once; marks its segment as damaged.
    pub(crate) fn count_missing(&mut self, from: u64, to: u64) {
        if let Some(kept) =
            self.segments.iter_mut().find(|kept| kept.first <= from && from <= kept.last)
        {
            kept.damaged = true;
        }
        let known = self.missing.range(..=to).next_back().is_some_and(|(_, known)| *known >= from);
        if known || self.missing.len() >= MISSING_RANGES_MAX {
            return;
        }
        self.missing.insert(from, to);
        self.missing_entries += to + 1 - from;
    }

    /// Bytes of all kept segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|kept| kept.end).sum()
    }
}

/// The index behind its lock. A panic elsewhere does not take the readers along.
#[derive(Debug)]
pub(crate) struct Shared(RwLock<Index>);

impl Shared {
    pub(crate) fn new(index: Index) -> Shared {
        Shared(RwLock::new(index))
    }

    pub(crate) fn look(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments 1: 1..=10, 2: 11..=20, then a hole of 5, 3: 26..=30.
    fn three() -> Index {
        let mut segments = VecDeque::new();
        for (id, first, last) in [(1, 1, 10), (2, 11, 20), (3, 26, 30)] {
            let mut kept = Kept::new(id, first);
            (kept.last, kept.end) = (last, 1000);
            segments.push_back(kept);
        }
        Index::new(segments, 1, 30)
    }

    #[track_caller]
    fn check(seq: u64, expected: Result<u64, Spot>) {
        let found = match three().find(seq) {
            Spot::In { segment, .. } => Ok(segment),
            other => Err(other),
        };
        assert_eq!(found, expected, "seq {seq}");
    }

    #[test]
    fn a_seq_is_looked_for_where_it_may_be() {
        check(1, Ok(1));
        check(10, Ok(1));
        check(11, Ok(2));
        check(20, Ok(2));
        check(21, Err(Spot::Nowhere { to: 25 }));
        check(25, Err(Spot::Nowhere { to: 25 }));
        check(26, Ok(3));
        check(30, Ok(3));
        check(31, Err(Spot::NotYet));
        check(0, Err(Spot::Nowhere { to: 0 }));
    }

    #[test]
    fn nothing_kept_is_nowhere() {
        let index = Index::new(VecDeque::new(), 31, 30);
        assert_eq!(index.find(30), Spot::Nowhere { to: 30 });
        assert_eq!(index.find(31), Spot::NotYet);
    }

    #[test]
    fn places_shorten_the_search_and_stay_few() {
        let mut kept = Kept::new(1, 1);
        for seq in 1..=100_000 {
            kept.remember(seq, HEADER_BYTES + seq * 100);
        }
        assert!(kept.places.len() <= 10_000_100 / PLACE_BYTES as usize + 1);
        (kept.last, kept.end) = (100_000, 11_000_000);
        let index = Index::new([kept].into(), 1, 100_000);
        let Spot::In { at, .. } = index.find(77_777) else { panic!("it is there") };
        let exact = HEADER_BYTES + 7_777_700;
        assert!(at <= exact && exact - at <= PLACE_BYTES + 100, "{at} for {exact}");
    }

    #[test]
    fn missing_ranges_count_once() {
        let mut index = three();
        index.count_missing(3, 5);
        index.count_missing(3, 5);
        index.count_missing(4, 5);
        index.count_missing(12, 12);
        assert_eq!(index.missing_entries, 4);
        assert_eq!(
            index.segments.iter().map(|kept| kept.damaged).collect::<Vec<_>>(),
            [true, true, false]
        );
    }
}
