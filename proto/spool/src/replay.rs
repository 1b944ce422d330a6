//! Going through the groups of one segment: which are believed, what they say, where they end.
//!
//! Room: `spool`.  May use: `segment`, `notes`.  Used by: `recover`, `tool`.
//! The rules stand in `format`: a group is whole, or damaged and proven by a later mark, or given up.

use crate::disk::Disk;
use crate::format::{HEADER_BYTES, Kind, parse_mark};
use crate::index::Kept;
use crate::notes::Notes;
use crate::segment::{Scan, Step, Window};

/// What the groups of one file came to.
pub(crate) struct Replay {
    /// The stream, if a full mark told it.
    pub(crate) stream: Option<[u8; 16]>,
    /// Where the last believed group starts.
    pub(crate) last_group_at: u64,
    /// Where it ends.
    pub(crate) end: u64,
    /// The seq after it.
    pub(crate) next: u64,
    pub(crate) missing: Vec<(u64, u64)>,
    /// Last seq of a group that has a mark but not all of its entries.
    pub(crate) voided: Option<u64>,
    pub(crate) discarded: u64,
}

/// A mark whose group has holes; believed only if another mark follows.
struct Suspect {
    end: u64,
    seq: u64,
    body: Vec<u8>,
}

/// Goes through the groups of a file. `proven`: something newer proves all of them durable.
pub(crate) fn replay(disk: &dyn Disk, kept: &Kept, proven: bool, notes: &mut Notes) -> Replay {
    let mut window = Window::new();
    let seqs = kept.first..=kept.last;
    let mut scan = Scan::new(disk, &mut window, kept.id, seqs, HEADER_BYTES..kept.end);
    let mut replay = Replay {
        stream: None,
        last_group_at: 0,
        end: HEADER_BYTES,
        next: kept.first,
        missing: Vec::new(),
        voided: None,
        discarded: 0,
    };
    let mut group = Group { runs: Vec::new(), is_cut: false, suspect: None };
    while let Ok(Some(step)) = scan.next() {
        let Step::Entry { at, head } = step else { continue };
        if head.kind == Kind::Data {
            group.add(head.seq);
            continue;
        }
        let after = scan.at();
        let Ok(body) = scan.body(at, &head) else { break };
        let Some((mark, _)) = parse_mark(body) else { continue };
        let body = body.to_vec();
        group.is_cut = true;
        if let Some(suspect) = group.suspect.take() {
            replay.believe(&mut group, suspect, notes);
        }
        let is_whole = group.count(mark.first_seq, head.seq) == u64::from(mark.count);
        let suspect = Suspect { end: after, seq: head.seq, body };
        if is_whole || proven {
            replay.believe(&mut group, suspect, notes);
        } else {
            group.suspect = Some(suspect);
        }
    }
    replay.discarded =
        if proven { 0 } else { group.runs.iter().map(|(from, to)| to + 1 - from).sum() };
    replay.voided = group.suspect.map(|suspect| suspect.seq).filter(|seq| *seq >= replay.next);
    if proven {
        replay.end = replay.end.max(scan.at());
    }
    replay
}

/// Data entries seen since the last believed mark.
struct Group {
    /// Unbroken runs of seqs, ascending.
    runs: Vec<(u64, u64)>,
    /// A mark came since: the next seq starts a run of its own.
    is_cut: bool,
    suspect: Option<Suspect>,
}

impl Group {
    fn add(&mut self, seq: u64) {
        let is_cut = std::mem::take(&mut self.is_cut);
        match self.runs.last_mut() {
            Some((_, to)) if *to >= seq => {}
            Some((_, to)) if *to + 1 == seq && !is_cut => *to = seq,
            _ => self.runs.push((seq, seq)),
        }
    }

    fn count(&self, from: u64, to: u64) -> u64 {
        let within = |run: &(u64, u64)| (run.1.min(to) + 1).saturating_sub(run.0.max(from));
        self.runs.iter().map(within).sum()
    }
}

impl Replay {
    fn believe(&mut self, group: &mut Group, mark: Suspect, notes: &mut Notes) {
        let Some((head, changes)) = parse_mark(&mark.body) else { return };
        notes.take(head.full.is_some(), &changes);
        self.stream = self.stream.or(head.full);
        // The first group was written together with the header.
        self.last_group_at = if self.end == HEADER_BYTES { 0 } else { self.end };
        self.end = mark.end;
        let later = group.runs.iter().position(|run| run.0 > mark.seq).unwrap_or(group.runs.len());
        for (from, to) in group.runs.drain(..later) {
            if from > self.next {
                self.missing.push((self.next, from - 1));
            }
            self.next = self.next.max(to + 1);
        }
        if mark.seq >= self.next {
            self.missing.push((self.next, mark.seq));
            self.next = mark.seq + 1;
        }
    }
}
