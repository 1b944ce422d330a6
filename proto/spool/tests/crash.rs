//! Crash at every changing call, reopen, compare with a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_spool::testing::MemDisk;
use muster_spool::{AppendError, CursorError, Disk, ReadError, Reader, Settings, Spool};

const STREAM: [u8; 16] = [3; 16];
const OPERATIONS: usize = 250;
const SEEDS: u64 = 40;

fn settings(seed: u64) -> Settings {
    Settings {
        segment_bytes: 4096,
        budget_bytes: 40 * 1024,
        reserve_bytes: if seed.is_multiple_of(3) { 0 } else { 2048 },
        recycle_max: (seed % 4) as usize,
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
}

impl State {
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
    if let Ok(durable) = spool.commit() {
        assert_eq!(durable, spool.next_seq() - 1);
        model.durable = model.staged.clone();
    }
}

/// Everything a reader is given, and the gaps.
fn read_all(reader: &Reader, from: u64) -> (BTreeMap<u64, Vec<u8>>, Vec<(u64, u64)>) {
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
        // Cursors alone may be newer than the rest: on a full disk they are committed by themselves.
        let needed: BTreeMap<_, _> = state.entries.range(state.released + 1..).collect();
        state.notes == notes
            && state.cursors == cursors
            && needed.iter().all(|(seq, bytes)| entries.get(seq) == Some(*bytes))
            && entries.keys().all(|seq| state.entries.contains_key(seq))
    };
    let is_durable = is_of(&model.durable);
    let is_staged = is_of(&model.staged);
    assert!(
        is_durable || is_staged,
        "{label}: neither what was committed nor what was being committed\n\
         notes {notes:?}\ncursors {cursors:?}\nseqs {:?}..={last} gaps {gaps:?}\n\
         durable: released {} last {} cursors {:?} notes {:?}\n\
         staged: released {} last {} cursors {:?} notes {:?}",
        entries.keys().next(),
        model.durable.released,
        model.durable.last(),
        model.durable.cursors,
        model.durable.notes,
        model.staged.released,
        model.staged.last(),
        model.staged.cursors,
        model.staged.notes,
    );
    let state = if is_durable { model.durable.clone() } else { model.staged.clone() };
    for (seq, bytes) in &entries {
        assert_eq!(state.entries.get(seq), Some(bytes), "{label}: entry {seq}");
    }
    for (from, to) in gaps {
        let is_needed = |seq: &&u64| (from.max(state.released + 1)..=to).contains(*seq);
        let needed = state.entries.keys().filter(is_needed).count();
        assert_eq!(needed, 0, "{label}: {from}..={to} are missing, released is {}", state.released);
    }
    assert!(spool.next_seq() > state.last(), "{label}: seqs are never used twice");
    *model = Model { staged: state.clone(), durable: state };
}

fn open(disk: &Arc<MemDisk>, seed: u64) -> Option<Spool> {
    let disk: Arc<dyn Disk> = disk.clone();
    Spool::open(disk, settings(seed), STREAM).ok().map(|(spool, _)| spool)
}

/// Runs the story of `seed`, dying at changing call `crash_at`; tells how many calls there were.
fn run(seed: u64, crash_at: Option<u64>) -> u64 {
    let disk = Arc::new(MemDisk::new(seed * 1000 + crash_at.unwrap_or(0)));
    disk.faults(|faults| faults.crash_at_call = crash_at);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut model = Model::default();
    let label = format!("seed {seed}, crash at call {crash_at:?}");
    if let Some(mut spool) = open(&disk, seed) {
        for name in ["up", "down"] {
            spool.add_cursor(name, 1).unwrap();
            model.staged.cursors.insert(name.to_owned(), 0);
        }
        for _ in 0..OPERATIONS {
            if disk.is_dead() {
                break;
            }
            step(&mut rng, &mut spool, &mut model);
        }
        if !disk.is_dead() {
            commit(&mut spool, &mut model);
        }
    }
    let calls = disk.asked().changes;
    disk.crash();
    let mut spool = open(&disk, seed).expect("a crash never keeps a spool from opening");
    compare(&spool, &mut model, &label);
    go_on(&mut rng, &mut spool, &mut model);
    drop(spool);
    disk.crash();
    let spool = open(&disk, seed).unwrap();
    compare(&spool, &mut model, &format!("{label}, and once more"));
    calls
}

/// Life after the crash is a life like any other.
fn go_on(rng: &mut fastrand::Rng, spool: &mut Spool, model: &mut Model) {
    for name in ["up", "down"] {
        if spool.cursor(name).is_none() {
            assert_eq!(spool.advance(name, 0), Err(CursorError::Unknown));
            spool.add_cursor(name, 1).unwrap();
            let done = spool.cursor(name).unwrap();
            model.staged.cursors.insert(name.to_owned(), done);
        }
    }
    for _ in 0..OPERATIONS / 3 {
        step(rng, spool, model);
    }
    commit(spool, model);
}

#[test]
fn a_crash_at_any_call_loses_only_what_was_not_committed() {
    for seed in 0..SEEDS {
        let calls = run(seed, None);
        assert!(calls > 20, "seed {seed} did too little: {calls} calls");
        for crash_at in 1..=calls {
            run(seed, Some(crash_at));
        }
    }
}
