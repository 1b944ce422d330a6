//! How far each stream has come at one aggregator: the dedup of everything that arrives.
//!
//! Room: `proto/talk`.  May use: `ids`.  Used by: the committers of `aggregator`.
//!
//! Plain data, owned by the committer of a lane (one thread). Connections only ask it at their
//! Hello. Durable because the committer writes what [`Marks::pending`] names as notes into the same
//! group as the frames:
//!
//! ```text
//! for each frame of the group:   match marks.offer(host, stream, seq) { Fresh => spool.append(frame), … }
//! for (stream, mark) in marks.pending():   spool.note(stream, host + mark.taken)
//! spool.commit()                 one sync
//! marks.on_synced()              now they are durable
//! for each frame of the group, fresh or repeated:
//!     tell its connection  intake.on_stored(lane, stream, marks.durable(stream))
//! ```
//!
//! Dict frames stand outside the sequence: they do not pass the marks. The committer keeps one of each
//! (stream, number) and nobody waits for an ack of them.
//!
//! One host cannot make a committer remember more than [`STREAMS_PER_HOST_MAX`] streams: a new one takes the place
//! of its oldest, which [`Marks::forgotten`] names, so that its note is removed with the same commit.
//!
//! After a restart: `Marks::default()`, then [`Marks::restore`] for each note. What was appended but
//! not synced is gone and was never acked; its agent sends it again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::ids::{Seq, StreamId};

/// Streams one committer remembers. About 100 bytes each. Over it, new streams are refused.
pub const MARKS_MAX: usize = 1024 * 1024;

/// Streams of one host that one committer remembers. A wiped spool begins a new one, so a good host has a few in its
/// life. Over it the oldest is forgotten: what is repeated of that one is stored again.
pub const STREAMS_PER_HOST_MAX: usize = 64;

/// How far one stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Host that the stream belongs to: the first one that used it.
    pub host: Arc<str>,
    /// Last seq that was appended.
    pub taken: Seq,
    /// Last seq that is synced.
    pub durable: Seq,
}

/// What an aggregator knows of a stream that a Hello offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    New,
    /// Everything up to here is synced (or was acked elsewhere).
    Durable(Seq),
    /// The stream belongs to another host: somebody copied a spool, or lies.
    OtherHost,
}

/// What to do with a frame at the moment it would be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Append it; the mark has moved.
    Fresh,
    /// It is there already, perhaps not yet synced. Do not append; do answer after the sync.
    Repeat,
    /// The stream belongs to another host. Close the connection.
    OtherHost,
    /// [`MARKS_MAX`] streams are remembered already, or the host has begun [`STREAMS_PER_HOST_MAX`] of them within
    /// one group. Close the connection.
    Full,
}

/// The marks of all streams of one committer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    marks: BTreeMap<StreamId, Mark>,
    /// Streams whose `taken` is above their `durable`.
    dirty: Vec<StreamId>,
    /// Streams of each host, the oldest first.
    by_host: BTreeMap<Arc<str>, VecDeque<StreamId>>,
    /// Streams that made way since the last [`Marks::forgotten`].
    forgotten: Vec<StreamId>,
}

impl Marks {
    /// Puts back what a note says after a restart.
    pub fn restore(&mut self, stream: StreamId, host: &str, durable: Seq) {
        self.remember(stream, Mark { host: host.into(), taken: durable, durable });
    }

    /// Says whether frame `seq` of `stream`, brought by `host`, is to be appended, and moves the mark.
    pub fn offer(&mut self, host: &Arc<str>, stream: StreamId, seq: Seq) -> Offer {
        if !self.marks.contains_key(&stream) {
            if self.marks.len() >= MARKS_MAX || !self.make_room(host) {
                return Offer::Full;
            }
            let (taken, durable) = (Seq::NONE, Seq::NONE);
            self.remember(stream, Mark { host: host.clone(), taken, durable });
        }
        let Some(mark) = self.marks.get_mut(&stream) else { return Offer::Full };
        if mark.host != *host {
            return Offer::OtherHost;
        }
        if seq <= mark.taken {
            return Offer::Repeat;
        }
        if mark.taken == mark.durable {
            self.dirty.push(stream);
        }
        mark.taken = seq;
        Offer::Fresh
    }

    /// The group sync is done: everything that was taken is durable.
    pub fn on_synced(&mut self) {
        for stream in self.dirty.drain(..) {
            if let Some(mark) = self.marks.get_mut(&stream) {
                mark.durable = mark.taken;
            }
        }
    }

    /// Forgets a stream, e.g. when its host departed long ago. What it brings later is new.
    pub fn forget(&mut self, stream: StreamId) {
        let Some(mark) = self.marks.remove(&stream) else { return };
        self.dirty.retain(|dirty| *dirty != stream);
        if let Some(streams) = self.by_host.get_mut(&mark.host) {
            streams.retain(|one| *one != stream);
            if streams.is_empty() {
                self.by_host.remove(&mark.host);
            }
        }
    }

    /// Streams that made way for new ones of their host since the last call: remove their notes.
    pub fn forgotten(&mut self) -> Vec<StreamId> {
        std::mem::take(&mut self.forgotten)
    }

    /// The streams that moved since the last sync, with their marks: write them as notes.
    pub fn pending(&self) -> impl Iterator<Item = (StreamId, &Mark)> {
        self.dirty.iter().filter_map(|stream| self.marks.get(stream).map(|mark| (*stream, mark)))
    }

    /// What a Hello of `host` is to be told about `stream`.
    pub fn known(&self, host: &str, stream: StreamId) -> Known {
        match self.marks.get(&stream) {
            None => Known::New,
            Some(mark) if *mark.host != *host => Known::OtherHost,
            Some(mark) => Known::Durable(mark.durable),
        }
    }

    /// Last synced seq of a stream; `NONE` when nothing is known.
    pub fn durable(&self, stream: StreamId) -> Seq {
        self.marks.get(&stream).map_or(Seq::NONE, |mark| mark.durable)
    }

    /// The mark of one stream.
    pub fn mark(&self, stream: StreamId) -> Option<&Mark> {
        self.marks.get(&stream)
    }

    /// All of them, by stream.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &Mark)> {
        self.marks.iter().map(|(stream, mark)| (*stream, mark))
    }

    fn remember(&mut self, stream: StreamId, mark: Mark) {
        self.by_host.entry(mark.host.clone()).or_default().push_back(stream);
        self.marks.insert(stream, mark);
    }

    /// Room for one more stream of `host`. Streams of the open group stay: their frames wait for the sync.
    fn make_room(&mut self, host: &str) -> bool {
        while let Some(streams) = self.by_host.get(host)
            && streams.len() >= STREAMS_PER_HOST_MAX
        {
            let Some(oldest) = streams.iter().copied().find(|one| self.is_clean(*one)) else {
                return false;
            };
            self.forget(oldest);
            self.forgotten.push(oldest);
        }
        true
    }

    fn is_clean(&self, stream: StreamId) -> bool {
        self.marks.get(&stream).is_none_or(|mark| mark.taken == mark.durable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: StreamId = StreamId([7; 16]);

    #[test]
    fn two_connections_never_double_a_frame_and_only_a_sync_makes_it_durable() {
        let (host, mut marks) = (Arc::<str>::from("db1"), Marks::default());
        assert_eq!(marks.known("db1", S), Known::New);
        assert_eq!(marks.offer(&host, S, Seq(1)), Offer::Fresh);
        assert_eq!(marks.offer(&host, S, Seq(1)), Offer::Repeat);
        assert_eq!(marks.offer(&host, S, Seq(2)), Offer::Fresh);
        assert_eq!(marks.durable(S), Seq::NONE);
        assert_eq!(marks.pending().map(|(_, mark)| mark.taken).collect::<Vec<_>>(), [Seq(2)]);
        marks.on_synced();
        assert_eq!(marks.known("db1", S), Known::Durable(Seq(2)));
        assert_eq!(marks.pending().count(), 0);
        assert_eq!(marks.offer(&host, S, Seq(9)), Offer::Fresh, "a jump is the agent's right");
        assert_eq!(marks.durable(S), Seq(2));
    }

    #[test]
    fn a_stream_belongs_to_the_host_that_came_first() {
        let mut marks = Marks::default();
        marks.restore(S, "db1", Seq(5));
        assert_eq!(marks.known("web1", S), Known::OtherHost);
        assert_eq!(marks.offer(&"web1".into(), S, Seq(6)), Offer::OtherHost);
        assert_eq!(marks.durable(S), Seq(5));
        marks.forget(S);
        assert_eq!(marks.known("web1", S), Known::New);
    }

    /// A host that opens thousands of streams costs as much memory as 64, and costs the others nothing.
    #[test]
    fn a_host_that_opens_thousands_of_streams_forgets_its_own_only() {
        let (good, bad) = (Arc::<str>::from("db1"), Arc::<str>::from("evil"));
        let mut marks = Marks::default();
        let stream = |n: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            StreamId(id)
        };
        assert_eq!(marks.offer(&good, S, Seq(7)), Offer::Fresh);
        marks.on_synced();
        let mut refused = 0;
        let mut forgotten = 0;
        for n in 0..10_000 {
            refused += usize::from(marks.offer(&bad, stream(n), Seq(1)) == Offer::Full);
            if n % 100 == 99 {
                marks.on_synced();
            }
            forgotten += marks.forgotten().len();
        }
        marks.on_synced();
        assert_eq!(marks.iter().count(), STREAMS_PER_HOST_MAX + 1);
        assert_eq!(refused + forgotten + STREAMS_PER_HOST_MAX, 10_000);
        assert!(refused > 0 && forgotten > 0);
        assert_eq!(marks.known("db1", S), Known::Durable(Seq(7)));
        assert_eq!(marks.offer(&good, S, Seq(7)), Offer::Repeat);
        assert_eq!(marks.offer(&good, stream(999_999), Seq(1)), Offer::Fresh);
        let newest = marks.by_host["evil"].back().copied().unwrap();
        marks.on_synced();
        marks.forget(newest);
        assert_eq!(marks.by_host["evil"].len(), STREAMS_PER_HOST_MAX - 1);
    }
}
