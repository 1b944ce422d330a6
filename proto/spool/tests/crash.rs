//! Crash at every changing call, reopen, compare with a model.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_spool::testing::MemDisk;
use muster_spool::{AppendError, CursorError, Disk, ReadError, Reader, Settings, Spool};

const STREAM: [u8; 16] = [3; 16];
const OPERATIONS: usize = 250;
const SEEDS: u64 = 10;

fn settings(seed: u64) -> Settings {
    Settings {
        segment_bytes: 4096,
        budget_bytes: 40 * 1024,
        reserve_bytes: if seed.is_multiple_of(3) { 0 } else { 2048 },
        recycle_max: (seed % 4) as usize,
        stock_files: (seed % 3) as usize,
    }
}

/// What everybody should see after some commit.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    entries: BTreeMap<u64, Vec<u8>>,
    notes: BTreeMap<Vec<u8>, Vec<u8>>,
    cursors: BTreeMap<String, u64>,
    /// No seq up to here need be there any more.
    released: u64,
}

/// The spool as it should be: what is staged, and what is durable.
#[derive(Debug, Clone, Default)]
struct Model {
    staged: State,
    durable: State,
    /// What failed commits tried to write since: any of it may have reached the disk.
    tried: Vec<State>,
}

impl Model {
    /// Every state that a reopen may show, the newest first.
    fn possible(&self) -> Vec<State> {
        let mut states = vec![self.staged.clone()];
        states.extend(self.tried.iter().rev().cloned());
        states.push(self.durable.clone());
        // On a full disk cursors are committed by themselves: they alone may be newer than the rest.
        let newer: Vec<State> = self.tried.iter().chain([&self.staged]).cloned().collect();
        for state in newer.into_iter().rev() {
            let (cursors, released) = (state.cursors, state.released);
            states.push(State { cursors, released, ..self.durable.clone() });
        }
        states
    }
}

impl State {
    fn summary(&self) -> String {
        let (released, last) = (self.released, self.last());
        format!("released {released} last {last} cursors {:?} notes {:?}", self.cursors, self.notes)
    }

    fn last(&self) -> u64 {
        self.entries.keys().next_back().copied().unwrap_or(0)
    }
}

fn body_of(rng: &mut fastrand::Rng, seq: u64) -> Vec<u8> {
    let len = if rng.u8(..8) == 0 { rng.usize(400..1000) } else { rng.usize(..120) };
    let mut bytes = seq.to_le_bytes().to_vec();
    bytes.extend((0..len).map(|_| rng.u8(..)));
    bytes
}

/// One random operation on both. Errors of a dead disk change nothing in the model.
fn step(rng: &mut fastrand::Rng, spool: &mut Spool, model: &mut Model) {
    match rng.u8(..100) {
        0..45 => {
            let bytes = body_of(rng, spool.next_seq());
            let (head, tail) = bytes.split_at(rng.usize(..=bytes.len()));
            match spool.append(&[head, tail]) {
                Ok(seq) => {
                    assert_eq!(seq, model.staged.last().max(seq - 1) + 1);
                    model.staged.entries.insert(seq, bytes);
                }
                Err(AppendError::Full { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        45..60 => {
            let key = vec![b'k', rng.u8(..4)];
            let value = (rng.u8(..4) > 0).then(|| vec![rng.u8(..); rng.usize(..40)]);
            spool.note(&key, value.as_deref()).unwrap();
            match value {
                Some(value) => model.staged.notes.insert(key, value),
                None => model.staged.notes.remove(&key),
            };
        }
        60..75 => {
            let name = ["up", "down"][rng.usize(..2)];
            let Some(done) = spool.cursor(name) else { return };
            let upto = rng.u64(done..=spool.durable_seq().max(done));
            spool.advance(name, upto).unwrap();
            model.staged.cursors.insert(name.to_owned(), upto);
            let least = model.staged.cursors.values().min().copied().unwrap_or(0);
            model.staged.released = model.staged.released.max(least);
        }
        75..78 => {
            let dropped = spool.drop_oldest(rng.u64(1..8000));
            if dropped.bytes > 0 {
                model.staged.released = model.staged.released.max(dropped.to);
                for done in model.staged.cursors.values_mut() {
                    *done = dropped.to.max(*done);
                }
            }
        }
        _ => commit(spool, model),
    }
}

fn commit(spool: &mut Spool, model: &mut Model) {
    match spool.commit() {
        Ok(durable) => {
            assert_eq!(durable, spool.next_seq() - 1);
            model.durable = model.staged.clone();
            model.tried.clear();
        }
        Err(_) => model.tried.push(model.staged.clone()),
    }
}

type Entries = BTreeMap<u64, Vec<u8>>;

/// Everything a reader is given, and the gaps.
fn read_all(reader: &Reader, from: u64) -> (Entries, Vec<(u64, u64)>) {
    let (mut next, mut entries, mut gaps) = (from, BTreeMap::new(), Vec::new());
    loop {
        match reader.read(next, 700) {
            Ok(found) if found.is_empty() => return (entries, gaps),
            Ok(found) => {
                for entry in found {
                    assert_eq!(entry.seq, next, "in order, without holes, exactly once");
                    entries.insert(entry.seq, entry.bytes);
                    next += 1;
                }
            }
            Err(ReadError::Missing { from, to }) => {
                assert_eq!(from, next);
                assert!(to >= from);
                gaps.push((from, to));
                next = to + 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// After a reopen: the state is that of the last commit, or of the one that was under way.
fn compare(spool: &Spool, model: &mut Model, label: &str) {
    let notes: BTreeMap<_, _> =
        spool.notes().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let cursors: BTreeMap<_, _> = spool.cursors().into_iter().collect();
    let (entries, gaps) = read_all(&spool.reader(), 1);
    let last = entries.keys().next_back().copied().unwrap_or(spool.durable_seq());
    let is_of = |state: &State| {
        let needed: BTreeMap<_, _> = state.entries.range(state.released + 1..).collect();
        state.notes == notes
            && state.cursors == cursors
            && needed.iter().all(|(seq, bytes)| entries.get(seq) == Some(*bytes))
            && entries.keys().all(|seq| state.entries.contains_key(seq))
    };
    let mut possible = model.possible();
    let Some(shown) = possible.iter().position(is_of) else {
        panic!(
            "{label}: neither what was committed nor what was being committed\n\
             notes {notes:?}\ncursors {cursors:?}\nseqs {:?}..={last} gaps {gaps:?}\n\
             durable: {}\nstaged: {}",
            entries.keys().next(),
            model.durable.summary(),
            model.staged.summary(),
        );
    };
    let state = possible[shown].clone();
    // What failed commits left behind may still come to light until the next commit, but never what is older.
    possible.truncate(shown);
    possible.reverse();
    for (seq, bytes) in &entries {
        assert_eq!(state.entries.get(seq), Some(bytes), "{label}: entry {seq}");
    }
    for (from, to) in gaps {
        let is_needed = |seq: &&u64| (from.max(state.released + 1)..=to).contains(*seq);
        let needed = state.entries.keys().filter(is_needed).count();
        assert_eq!(needed, 0, "{label}: {from}..={to} are missing, released is {}", state.released);
    }
    assert!(spool.next_seq() > state.last(), "{label}: seqs are never used twice");
    *model = Model { staged: state.clone(), durable: state, tried: possible };
}

fn open(disk: &Arc<MemDisk>, seed: u64) -> Option<Spool> {
    let disk: Arc<dyn Disk> = disk.clone();
    Spool::open(disk, settings(seed), STREAM).ok().map(|(spool, _)| spool)
}

/// How a story ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Death {
    /// Power fails: what was not synced is lost in part.
    Power,
    /// The program is killed; power fails right after the next start.
    Kill,
}

/// What the disk does on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Days {
    Good,
    /// Syncs and writes fail, room runs out, the file system turns read-only; all of it passes.
    Bad,
}

fn spoil(rng: &mut fastrand::Rng, disk: &MemDisk) {
    let draw = rng.u8(..40);
    disk.faults(|faults| match draw {
        0 => faults.failing_syncs = 1,
        1 => faults.failing_writes = 1,
        2 => faults.room_bytes = Some(rng.u64(4..30) * 1024),
        3 => faults.is_read_only = true,
        4..12 => (faults.room_bytes, faults.is_read_only) = (None, false),
        _ => {}
    });
}

/// Runs the story of `seed`, dying at changing call `crash_at`; tells how many calls there were.
fn run(seed: u64, crash_at: Option<u64>, death: Death, days: Days) -> u64 {
    let disk = Arc::new(MemDisk::new(seed * 1000 + crash_at.unwrap_or(0)));
    disk.faults(|faults| faults.crash_at_call = crash_at);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut model = Model::default();
    let label = format!("seed {seed}, {death:?} at call {crash_at:?}, {days:?} days");
    if let Some(mut spool) = open(&disk, seed) {
        add_cursors(&mut spool, &mut model);
        for _ in 0..OPERATIONS {
            if disk.is_dead() {
                break;
            }
            if days == Days::Bad {
                spoil(&mut rng, &disk);
            }
            step(&mut rng, &mut spool, &mut model);
        }
        if !disk.is_dead() {
            commit(&mut spool, &mut model);
        }
    }
    let calls = disk.asked().changes;
    disk.faults(|faults| faults.room_bytes = None);
    match death {
        Death::Power => disk.crash(),
        Death::Kill => disk.kill(),
    }
    let mut spool = open(&disk, seed).expect("a crash never keeps a spool from opening");
    compare(&spool, &mut model, &label);
    if death == Death::Kill {
        drop(spool);
        disk.crash();
        spool = open(&disk, seed).unwrap();
        compare(&spool, &mut model, &format!("{label}, then no power"));
    }
    go_on(&mut rng, &mut spool, &mut model);
    drop(spool);
    disk.crash();
    let spool = open(&disk, seed).unwrap();
    compare(&spool, &mut model, &format!("{label}, and once more"));
    calls
}

fn add_cursors(spool: &mut Spool, model: &mut Model) {
    for name in ["up", "down"] {
        if spool.cursor(name).is_none() {
            assert_eq!(spool.advance(name, 0), Err(CursorError::Unknown));
            spool.add_cursor(name, 1).unwrap();
            model.staged.cursors.insert(name.to_owned(), spool.cursor(name).unwrap());
        }
    }
}

/// Life after the crash is a life like any other.
fn go_on(rng: &mut fastrand::Rng, spool: &mut Spool, model: &mut Model) {
    add_cursors(spool, model);
    for _ in 0..OPERATIONS / 3 {
        step(rng, spool, model);
    }
    spool.commit().expect("all is well again");
    model.durable = model.staged.clone();
    model.tried.clear();
}

#[track_caller]
fn check(seeds: u64, death: Death, days: Days) {
    for seed in 0..seeds {
        let calls = run(seed, None, death, days);
        assert!(calls > 20, "seed {seed} did too little: {calls} calls");
        for crash_at in 1..=calls {
            run(seed, Some(crash_at), death, days);
        }
    }
}

#[test]
fn no_power_at_any_call_loses_only_what_was_not_committed() {
    check(SEEDS, Death::Power, Days::Good);
}

#[test]
fn killed_at_any_call_what_the_next_start_shows_stays() {
    check(SEEDS, Death::Kill, Days::Good);
}

#[test]
fn no_power_at_any_call_of_bad_days() {
    check(SEEDS, Death::Power, Days::Bad);
}

#[test]
fn killed_at_any_call_of_bad_days() {
    check(SEEDS, Death::Kill, Days::Bad);
}
