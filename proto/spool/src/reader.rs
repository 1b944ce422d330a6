//! Following the spool: durable entries by seq, with the gaps named.
//!
//! Room: `spool`.  May use: `index`, `segment`.  Used by: uplinks, sinks, stores, each with its own.
//! Reads beside the writer and never waits for it. A file that is recycled under a read is noticed by
//! the segment id in every entry, and the look-up is made again.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::Disk;
use crate::format::Kind;
use crate::index::{Shared, Spot};
use crate::segment::{Scan, Step, Window};

/// One entry, as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why a read brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// `from..=to` will never be read: released, dropped, damaged or given up. Go on at `to + 1`.
    #[error("entries {from} to {to} are missing")]
    Missing {
        /// The seq asked for.
        from: u64,
        /// The last seq of the gap.
        to: u64,
    },
    /// The disk does not answer.
    #[error("cannot read segment {segment}")]
    Disk {
        /// Which file.
        segment: u64,
        /// The disk's own words.
        source: io::Error,
    },
}

/// One follower of a spool. A clone follows on its own.
pub struct Reader {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    place: Mutex<Place>,
}

impl Clone for Reader {
    fn clone(&self) -> Reader {
        Reader::new(self.disk.clone(), self.shared.clone())
    }
}

/// Where the last read stopped, so that the next need not search.
struct Place {
    window: Window,
    segment: u64,
    next: u64,
    at: u64,
}

/// What one segment gave.
enum Got {
    Entries(Vec<Entry>),
    /// Nothing up to and including this seq.
    Gap(u64),
}

impl Reader {
    pub(crate) fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>) -> Reader {
        let place = Place { window: Window::new(), segment: 0, next: 0, at: 0 };
        Reader { disk, shared, place: Mutex::new(place) }
    }

    /// Durable entries from `from` on: as many as fit into `max_bytes`, but at least one if there is one.
    ///
    /// # Shape
    /// Ascending and without holes, the first being `from`. Empty when `from` is not durable yet. May be
    /// shorter than asked at the end of a segment: ask again.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when `from` itself is not there; a gap further on ends the answer before it.
    /// [`ReadError::Disk`] when the file cannot be read at all.
    pub fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let spot = self.shared.look().find(from);
            let (segment, last) = match spot {
                Spot::NotYet => return Ok(Vec::new()),
                Spot::Nowhere { to } => return Err(ReadError::Missing { from, to }),
                Spot::In { segment, last, .. } => (segment, last),
            };
            let gap = match place.read_segment(&*self.disk, spot, from, max_bytes) {
                Ok(Got::Entries(entries)) => return Ok(entries),
                Ok(Got::Gap(to)) => to,
                Err(source) if source.kind() == io::ErrorKind::NotFound => last,
                Err(source) if self.still_holds(segment, from) => {
                    return Err(ReadError::Disk { segment, source });
                }
                Err(_) => continue,
            };
            if self.still_holds(segment, from) {
                self.shared.change().count_missing(from, gap);
                return Err(ReadError::Missing { from, to: gap });
            }
            // Freed while it was read: what looked like damage was a recycled file.
            place.window.forget();
        }
    }

    /// Last seq that `read` may return.
    pub fn durable_seq(&self) -> u64 {
        self.shared.look().durable
    }

    /// Oldest seq kept.
    pub fn first_seq(&self) -> u64 {
        self.shared.look().first
    }

    fn still_holds(&self, segment: u64, seq: u64) -> bool {
        matches!(self.shared.look().find(seq), Spot::In { segment: now, .. } if now == segment)
    }
}

impl Place {
    fn read_segment(
        &mut self,
        disk: &dyn Disk,
        spot: Spot,
        from: u64,
        max_bytes: usize,
    ) -> io::Result<Got> {
        let Spot::In { segment, first, last, at, end } = spot else {
            return Ok(Got::Entries(Vec::new()));
        };
        let is_here = self.segment == segment && self.next <= from && self.at >= at;
        let start = if is_here { self.at } else { at };
        let mut entries = Vec::new();
        let (mut bytes, mut expected) = (0usize, from);
        let mut scan = Scan::new(disk, &mut self.window, segment, first..=last, start..end);
        let (mut next, mut resume) = (from, start);
        while expected <= last {
            let Some(Step::Entry { at, head }) = scan.next()? else {
                if scan.at() >= end {
                    break;
                }
                continue;
            };
            if head.kind == Kind::Mark || head.seq < expected {
                resume = scan.at();
                continue;
            }
            let len = head.len as usize;
            let is_gap = head.seq > expected;
            if is_gap || (!entries.is_empty() && bytes + len > max_bytes) {
                (next, resume) =
                    (if is_gap && entries.is_empty() { head.seq } else { expected }, at);
                if is_gap && entries.is_empty() {
                    (self.segment, self.next, self.at) = (segment, next, resume);
                    return Ok(Got::Gap(head.seq - 1));
                }
                break;
            }
            entries.push(Entry { seq: head.seq, bytes: scan.body(at, &head)?.to_vec() });
            bytes += len;
            expected += 1;
            (next, resume) = (expected, scan.at());
        }
        (self.segment, self.next, self.at) = (segment, next, resume);
        Ok(if entries.is_empty() { Got::Gap(last) } else { Got::Entries(entries) })
    }
}
