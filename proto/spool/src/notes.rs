//! The small durable map: notes, cursors and the floor, with what is not committed yet.
//!
//! Room: `spool`.  May use: `format`.  Used by: `writer`, `release`, `recover`.
//! Keys are kept with their kind byte in front, see `format`.

use std::collections::BTreeMap;

use crate::format::{Change, change_bytes, encode_change};

/// Kind byte of a caller's note.
pub(crate) const NOTE: u8 = b'n';
/// Kind byte of a cursor.
pub(crate) const CURSOR: u8 = b'c';
/// The key of the floor.
pub(crate) const FLOOR: &[u8] = b"f";

/// Which changes go into a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything.
    All,
    /// Cursors and floor only: they do not depend on staged data.
    Cursors,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Notes {
    live: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Keys changed since the last commit, with the value that is durable.
    changed: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    live_bytes: u64,
    changed_bytes: u64,
}

impl Notes {
    /// Takes the durable state of a mark read back.
    pub(crate) fn take(&mut self, full: bool, changes: &[Change<'_>]) {
        if full {
            *self = Notes::default();
        }
        for (key, value) in changes {
            self.put(key, value.map(<[u8]>::to_vec));
        }
        self.settle(Part::All);
    }

    /// Changes one key; a change to the same value is none.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        let old = self.live.get(key);
        if old == value.as_ref() {
            return;
        }
        let old = old.cloned();
        if let Some(old) = &old {
            self.live_bytes -= change_bytes(key, old);
        }
        if !self.changed.contains_key(key) {
            self.changed_bytes += change_bytes(key, &[]);
            self.changed.insert(key.to_vec(), old);
        }
        match value {
            Some(value) => {
                self.live_bytes += change_bytes(key, &value);
                self.live.insert(key.to_vec(), value);
            }
            None => {
                self.live.remove(key);
            }
        }
    }

    /// The changes of `part` are durable now.
    pub(crate) fn settle(&mut self, part: Part) {
        match part {
            Part::All => self.changed.clear(),
            Part::Cursors => self.changed.retain(|key, _| !is_cursor(key)),
        }
        self.changed_bytes = self.changed.keys().map(|key| change_bytes(key, &[])).sum();
    }

    pub(crate) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.live.get(key).map(Vec::as_slice)
    }

    /// A value that is a number; anything else counts as absent.
    pub(crate) fn number(&self, key: &[u8]) -> Option<u64> {
        self.value(key)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// Keys of one kind, without the kind byte.
    pub(crate) fn of_kind(&self, kind: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.live
            .range(vec![kind]..vec![kind + 1])
            .map(|(key, value)| (&key[1..], value.as_slice()))
    }

    pub(crate) fn has_changes(&self, part: Part) -> bool {
        match part {
            Part::All => !self.changed.is_empty(),
            Part::Cursors => self.changed.keys().any(|key| is_cursor(key)),
        }
    }

    /// Upper bound of the bytes a mark of all changes takes, beyond the live notes.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Bytes of the keys that changed.
    pub(crate) fn changed_bytes(&self) -> u64 {
        self.changed_bytes
    }

    /// Bytes `live_bytes` would have after `put(key, Some(value))`.
    pub(crate) fn live_bytes_with(&self, key: &[u8], value: &[u8]) -> u64 {
        let old = self.live.get(key).map_or(0, |old| change_bytes(key, old));
        self.live_bytes - old + change_bytes(key, value)
    }

    /// Appends the changes of `part` to a mark.
    pub(crate) fn encode_changes(&self, part: Part, out: &mut Vec<u8>) {
        for key in self.changed.keys() {
            if part == Part::All || is_cursor(key) {
                encode_change(key, self.value(key), out);
            }
        }
    }

    /// Appends every note as it will be once `part` is durable.
    pub(crate) fn encode_full(&self, part: Part, out: &mut Vec<u8>) {
        for (key, value) in &self.live {
            match self.changed.get(key) {
                Some(durable) if part == Part::Cursors && !is_cursor(key) => {
                    if let Some(durable) = durable {
                        encode_change(key, Some(durable), out);
                    }
                }
                _ => encode_change(key, Some(value), out),
            }
        }
        if part == Part::Cursors {
            for (key, durable) in &self.changed {
                if let Some(durable) = durable
                    && !is_cursor(key)
                    && !self.live.contains_key(key)
                {
                    encode_change(key, Some(durable), out);
                }
            }
        }
    }
}

fn is_cursor(key: &[u8]) -> bool {
    key.first() != Some(&NOTE)
}

/// The stored key of something the caller named.
pub(crate) fn key_of(kind: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1);
    key.push(kind);
    key.extend_from_slice(name);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{MarkHead, encode_mark_head, parse_mark};

    type Pairs = Vec<(String, Option<String>)>;

    /// What a mark would say, readable.
    fn said(notes: &Notes, part: Part, full: bool) -> Pairs {
        let mut body = Vec::new();
        let stream = full.then_some([0; 16]);
        encode_mark_head(&MarkHead { first_seq: 1, count: 0, full: stream }, &mut body);
        match full {
            true => notes.encode_full(part, &mut body),
            false => notes.encode_changes(part, &mut body),
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (_, changes) = parse_mark(&body).unwrap();
        let mut said: Pairs =
            changes.iter().map(|(key, value)| (text(key), value.map(text))).collect();
        said.sort();
        said
    }

    fn pairs(expected: &[(&str, &str)]) -> Pairs {
        let value = |value: &str| (value != "gone").then(|| value.to_owned());
        expected.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect()
    }

    #[track_caller]
    fn check(notes: &Notes, part: Part, full: bool, expected: &[(&str, &str)]) {
        assert_eq!(said(notes, part, full), pairs(expected));
    }

    fn put(notes: &mut Notes, key: &str, value: &str) {
        let value = (value != "gone").then(|| value.as_bytes().to_vec());
        notes.put(key.as_bytes(), value);
    }

    /// `nkept`, `nchanged`, `ngone` and a cursor are durable; then some of it changes.
    fn changed() -> Notes {
        let mut notes = Notes::default();
        for key in ["nkept", "nchanged", "ngone", "cup"] {
            put(&mut notes, key, "old");
        }
        notes.settle(Part::All);
        put(&mut notes, "nchanged", "new");
        put(&mut notes, "ngone", "gone");
        put(&mut notes, "nadded", "new");
        put(&mut notes, "cup", "new");
        notes
    }

    #[test]
    fn a_mark_says_what_changed() {
        let all = [("cup", "new"), ("nadded", "new"), ("nchanged", "new"), ("ngone", "gone")];
        check(&changed(), Part::All, false, &all);
        check(&changed(), Part::Cursors, false, &[("cup", "new")]);
        check(&Notes::default(), Part::All, false, &[]);
    }

    #[test]
    fn a_full_mark_says_everything() {
        let all = [("cup", "new"), ("nadded", "new"), ("nchanged", "new"), ("nkept", "old")];
        check(&changed(), Part::All, true, &all);
    }

    #[test]
    fn a_full_mark_of_cursors_says_notes_as_they_are_durable() {
        let all = [("cup", "new"), ("nchanged", "old"), ("ngone", "old"), ("nkept", "old")];
        check(&changed(), Part::Cursors, true, &all);
    }

    #[test]
    fn settling_cursors_leaves_notes_staged() {
        let mut notes = changed();
        notes.settle(Part::Cursors);
        assert!(notes.has_changes(Part::All) && !notes.has_changes(Part::Cursors));
        check(
            &notes,
            Part::All,
            false,
            &[("nadded", "new"), ("nchanged", "new"), ("ngone", "gone")],
        );
        notes.settle(Part::All);
        assert!(!notes.has_changes(Part::All));
        assert_eq!(notes.changed_bytes(), 0);
    }

    #[test]
    fn bytes_are_what_a_full_mark_takes() {
        let mut rng = fastrand::Rng::with_seed(4);
        let mut notes = Notes::default();
        for _ in 0..2000 {
            let key = [NOTE, rng.u8(..9)];
            let value = rng.bool().then(|| vec![1; rng.usize(..50)]);
            if let Some(value) = &value {
                let expected = notes.live_bytes_with(&key, value);
                notes.put(&key, Some(value.clone()));
                assert_eq!(notes.live_bytes(), expected);
            }
            notes.put(&key, value);
            if rng.u8(..5) == 0 {
                notes.settle(Part::All);
            }
            let mut out = Vec::new();
            notes.encode_full(Part::All, &mut out);
            assert_eq!(notes.live_bytes(), out.len() as u64);
        }
    }

    #[test]
    fn the_same_value_is_no_change_and_a_number_must_be_one() {
        let mut notes = changed();
        notes.settle(Part::All);
        put(&mut notes, "nkept", "old");
        put(&mut notes, "nnever", "gone");
        assert!(!notes.has_changes(Part::All));
        assert_eq!(notes.number(b"nkept"), None);
        notes.put(FLOOR, Some(7u64.to_le_bytes().to_vec()));
        assert_eq!(notes.number(FLOOR), Some(7));
    }
}
