//! A disk in memory that lies as real ones do, for tests of whoever owns a spool.
//!
//! Room: `spool`.  Used by: tests only, here and in other rooms.
//! What is written is seen at once and safe only after a sync. [`MemDisk::crash`] keeps of the rest an
//! arbitrary subset of 512-byte sectors, and of the changed names a prefix (journals keep their order).
//! A failed sync forgets what it should have written, as Linux does. Everything follows from the seed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, FileId};

const SECTOR_BYTES: u64 = 512;

type Sectors = BTreeMap<u64, [u8; SECTOR_BYTES as usize]>;

/// What shall go wrong. Everything off by default; [`MemDisk::crash`] keeps only what is of the hardware.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The changing call (counted from 1 since the last crash) at which the machine dies.
    pub crash_at_call: Option<u64>,
    /// So many syncs fail with EIO.
    pub failing_syncs: u32,
    /// So many writes fail with EIO, half done.
    pub failing_writes: u32,
    /// Sectors of all files together may take so many bytes.
    pub room_bytes: Option<u64>,
    /// All changing calls fail with EROFS.
    pub is_read_only: bool,
    /// Reads that touch these bytes of this file fail with EIO.
    pub unreadable: Option<(FileId, std::ops::Range<u64>)>,
}

/// How often the disk was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// Changing calls since the last crash: create, write, sync, rename, remove.
    pub changes: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes that reads returned.
    pub read_bytes: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
}

/// The disk.
#[derive(Debug)]
pub struct MemDisk(Mutex<State>);

#[derive(Debug)]
struct State {
    dice: Dice,
    faults: Faults,
    asked: Asked,
    is_dead: bool,
    bodies: BTreeMap<u64, Body>,
    names: BTreeMap<FileId, u64>,
    safe_names: BTreeMap<FileId, u64>,
    /// Changes of names that are not safe yet, in order.
    pending_names: Vec<NameChange>,
    next_body: u64,
}

#[derive(Debug, Clone, Copy)]
enum NameChange {
    Add(FileId, u64),
    Move(FileId, FileId, u64),
    Take(FileId),
}

#[derive(Debug, Default)]
struct Body {
    now: Sectors,
    len: u64,
    safe: Sectors,
    safe_len: u64,
    pending: Vec<(u64, [u8; SECTOR_BYTES as usize], u64)>,
}

impl MemDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> MemDisk {
        MemDisk(Mutex::new(State {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            faults: Faults::default(),
            asked: Asked::default(),
            is_dead: false,
            bodies: BTreeMap::new(),
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            pending_names: Vec::new(),
            next_body: 0,
        }))
    }

    /// Changes what shall go wrong.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// How often it was asked so far.
    pub fn asked(&self) -> Asked {
        self.state().asked
    }

    /// Whether the crash that was ordered has happened.
    pub fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Power fails and comes back. The room stays what it was; all other faults end.
    pub fn crash(&self) {
        let state = &mut *self.state();
        let kept = state.dice.below(state.pending_names.len() as u64 + 1) as usize;
        let changes: Vec<_> = state.pending_names.drain(..).take(kept).collect();
        for change in changes {
            change.apply(&mut state.safe_names);
        }
        state.names = state.safe_names.clone();
        for body in state.bodies.values_mut() {
            body.lose(&mut state.dice);
            body.now = body.safe.clone();
            body.len = body.safe_len;
        }
        state.forget_unnamed();
        let room_bytes = state.faults.room_bytes;
        state.faults = Faults { room_bytes, ..Faults::default() };
        state.asked = Asked::default();
        state.is_dead = false;
    }

    /// The program is killed and started again; the machine stays up, and so does what it has not written yet.
    pub fn kill(&self) {
        let state = &mut *self.state();
        let room_bytes = state.faults.room_bytes;
        state.faults = Faults { room_bytes, ..Faults::default() };
        state.asked = Asked::default();
        state.is_dead = false;
    }

    /// The bytes of a file, as a program would read them now.
    pub fn bytes(&self, file: FileId) -> Option<Vec<u8>> {
        let state = self.state();
        let body = state.bodies.get(state.names.get(&file)?)?;
        let mut out = vec![0; body.len as usize];
        body.read(0, &mut out);
        Some(out)
    }

    /// Puts bytes into a file behind everybody's back, safe at once; makes the file if it is not there.
    /// The file is then at least `len` bytes long; what was never written reads as zeroes and takes no memory.
    pub fn plant(&self, file: FileId, len: u64, at: u64, bytes: &[u8]) {
        let state = &mut *self.state();
        let id = match state.names.get(&file) {
            Some(id) => *id,
            None => state.add(file),
        };
        state.settle_names();
        if let Some(body) = state.bodies.get_mut(&id) {
            body.write(at, bytes);
            body.len = body.len.max(len);
            body.settle();
        }
    }

    /// Cuts a file short, safe at once.
    pub fn cut(&self, file: FileId, len: u64) {
        let bytes = self.bytes(file).unwrap_or_default();
        let len = bytes.len().min(len as usize);
        self.erase(file);
        self.plant(file, 0, 0, &bytes[..len]);
    }

    /// Removes a file, safe at once.
    pub fn erase(&self, file: FileId) {
        let state = &mut *self.state();
        if state.names.remove(&file).is_none() {
            return;
        }
        state.settle_names();
        state.safe_names.remove(&file);
        state.forget_unnamed();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a changing call; `Ok(true)` when the machine dies in the middle of it.
    fn begin_change(&mut self) -> io::Result<bool> {
        if self.is_dead {
            return Err(io::Error::other("the machine is down"));
        }
        self.asked.changes += 1;
        if self.faults.is_read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.is_dead = self.faults.crash_at_call == Some(self.asked.changes);
        Ok(self.is_dead)
    }

    fn body(&mut self, file: FileId) -> io::Result<&mut Body> {
        let id = self.names.get(&file).ok_or(io::ErrorKind::NotFound)?;
        self.bodies.get_mut(id).ok_or(io::ErrorKind::NotFound.into())
    }

    fn add(&mut self, file: FileId) -> u64 {
        self.next_body += 1;
        self.bodies.insert(self.next_body, Body::default());
        self.change_names(NameChange::Add(file, self.next_body));
        self.next_body
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn settle_names(&mut self) {
        let is_any_gone =
            self.pending_names.iter().any(|change| !matches!(change, NameChange::Add(..)));
        for change in self.pending_names.drain(..) {
            change.apply(&mut self.safe_names);
        }
        if is_any_gone {
            self.forget_unnamed();
        }
    }

    fn forget_unnamed(&mut self) {
        let (names, safe) = (&self.names, &self.safe_names);
        let pending = &self.pending_names;
        self.bodies.retain(|id, _| {
            let is_pending = pending.iter().any(|change| change.body() == Some(*id));
            is_pending || names.values().chain(safe.values()).any(|named| named == id)
        });
    }

    fn taken_bytes(&self) -> u64 {
        let named = self.names.values().filter_map(|id| self.bodies.get(id));
        named.map(|body| body.now.len() as u64 * SECTOR_BYTES).sum()
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<FileId, u64>) {
        match self {
            NameChange::Add(file, body) => {
                names.insert(file, body);
            }
            NameChange::Move(from, to, body) => {
                names.remove(&from);
                names.insert(to, body);
            }
            NameChange::Take(file) => {
                names.remove(&file);
            }
        }
    }

    fn body(self) -> Option<u64> {
        match self {
            NameChange::Add(_, body) | NameChange::Move(_, _, body) => Some(body),
            NameChange::Take(_) => None,
        }
    }
}

impl Body {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let place = at + done as u64;
            let (sector, skip) = (place / SECTOR_BYTES, (place % SECTOR_BYTES) as usize);
            let count = (SECTOR_BYTES as usize - skip).min(bytes.len() - done);
            let held = self.now.entry(sector).or_insert([0; SECTOR_BYTES as usize]);
            held[skip..skip + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
            self.len = self.len.max(at + done as u64);
            self.pending.push((sector, *held, self.len));
        }
    }

    fn read(&self, at: u64, into: &mut [u8]) -> usize {
        let count = (self.len.saturating_sub(at)).min(into.len() as u64) as usize;
        let mut done = 0;
        while done < count {
            let place = at + done as u64;
            let (sector, skip) = (place / SECTOR_BYTES, (place % SECTOR_BYTES) as usize);
            let step = (SECTOR_BYTES as usize - skip).min(count - done);
            match self.now.get(&sector) {
                Some(held) => into[done..done + step].copy_from_slice(&held[skip..skip + step]),
                None => into[done..done + step].fill(0),
            }
            done += step;
        }
        count
    }

    fn settle(&mut self) {
        for (sector, held, _) in self.pending.drain(..) {
            self.safe.insert(sector, held);
        }
        self.safe_len = self.len;
    }

    /// Of what is pending, some reaches the platter, sector by sector.
    fn lose(&mut self, dice: &mut Dice) {
        // Sometimes all or nothing, for both are likelier in life than by chance.
        let kept_of_8 = [0, 8, 4, 1, 7][dice.below(5) as usize];
        for (sector, held, len) in self.pending.drain(..) {
            if dice.below(8) < kept_of_8 {
                self.safe.insert(sector, held);
                self.safe_len = self.safe_len.max(len);
            }
        }
    }
}

impl Disk for MemDisk {
    fn list(&self) -> io::Result<Vec<(FileId, u64)>> {
        let state = self.state();
        let len = |id: &u64| state.bodies.get(id).map_or(0, |body| body.len);
        Ok(state.names.iter().map(|(file, id)| (*file, len(id))).collect())
    }

    fn create(&self, file: FileId) -> io::Result<()> {
        let state = &mut *self.state();
        let dies = state.begin_change()?;
        if state.names.contains_key(&file) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.faults.room_bytes.is_some_and(|room| state.taken_bytes() >= room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.add(file);
        died(dies)
    }

    fn write(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<()> {
        let state = &mut *self.state();
        let dies = state.begin_change()?;
        state.body(file)?;
        let mut fitting = bytes.len();
        if let Some(room) = state.faults.room_bytes {
            let left = room.saturating_sub(state.taken_bytes());
            let body = state.body(file)?;
            let mut new = 0;
            let sectors = at / SECTOR_BYTES..(at + bytes.len() as u64).div_ceil(SECTOR_BYTES);
            for sector in sectors {
                new += if body.now.contains_key(&sector) { 0 } else { SECTOR_BYTES };
                if new > left {
                    fitting = (sector * SECTOR_BYTES).saturating_sub(at) as usize;
                    break;
                }
            }
        }
        let fails = state.faults.failing_writes > 0;
        if fails {
            state.faults.failing_writes -= 1;
            fitting /= 2;
        }
        state.body(file)?.write(at, &bytes[..fitting]);
        if fails {
            return Err(io::Error::other("write: I/O error"));
        }
        if fitting < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        died(dies)
    }

    fn read(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = &mut *self.state();
        if state.is_dead {
            return Err(io::Error::other("the machine is down"));
        }
        state.asked.reads += 1;
        if let Some((bad, range)) = &state.faults.unreadable
            && *bad == file
            && at < range.end
            && range.start < at + into.len() as u64
        {
            return Err(io::Error::other("read: I/O error"));
        }
        let count = state.body(file)?.read(at, into);
        state.asked.read_bytes += count as u64;
        Ok(count)
    }

    fn sync(&self, file: FileId) -> io::Result<()> {
        let state = &mut *self.state();
        died(state.begin_change()?)?;
        if state.faults.failing_syncs > 0 {
            state.faults.failing_syncs -= 1;
            let State { bodies, dice, names, .. } = state;
            if let Some(body) = names.get(&file).and_then(|id| bodies.get_mut(id)) {
                body.lose(dice);
            }
            return Err(io::Error::other("sync: I/O error"));
        }
        state.body(file)?.settle();
        state.settle_names();
        state.asked.syncs += 1;
        Ok(())
    }

    fn rename(&self, from: FileId, to: FileId) -> io::Result<()> {
        let state = &mut *self.state();
        let dies = state.begin_change()?;
        let id = *state.names.get(&from).ok_or(io::ErrorKind::NotFound)?;
        state.change_names(NameChange::Move(from, to, id));
        died(dies)
    }

    fn remove(&self, file: FileId) -> io::Result<()> {
        let state = &mut *self.state();
        let dies = state.begin_change()?;
        if !state.names.contains_key(&file) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(NameChange::Take(file));
        died(dies)
    }
}

/// What was asked may or may not have happened; the asker never hears of it.
fn died(dies: bool) -> io::Result<()> {
    if dies { Err(io::Error::other("the machine is down")) } else { Ok(()) }
}

/// A small source of chance.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}
