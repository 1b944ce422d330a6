//! How far each stream has come here: what is higher is new, the rest is a repeat.

use std::collections::HashMap;

use muster_proto::ids::{Seq, StreamId};
use muster_spool::{AppendError, Spool};

const KEY: &[u8] = b"mark/";

/// Highest seq of each stream that was appended, durable with the next commit.
#[derive(Debug, Default)]
pub(super) struct Marks {
    highest: HashMap<StreamId, Seq>,
}

impl Marks {
    pub(super) fn restore(spool: &Spool) -> Marks {
        let mark = |(key, value): (&[u8], &[u8])| {
            let stream = key.strip_prefix(KEY)?.try_into().ok()?;
            let seq = u64::from_le_bytes(value.try_into().ok()?);
            Some((StreamId(stream), Seq(seq)))
        };
        Marks { highest: spool.notes().filter_map(mark).collect() }
    }

    pub(super) fn has(&self, stream: StreamId, seq: Seq) -> bool {
        self.highest.get(&stream).is_some_and(|highest| seq <= *highest)
    }

    /// Raises the mark of `stream` to `seq` together with the frame that is appended next.
    pub(super) fn raise(
        &mut self,
        spool: &mut Spool,
        stream: StreamId,
        seq: Seq,
    ) -> Result<(), AppendError> {
        let key = [KEY, &stream.0].concat();
        spool.note(&key, Some(&seq.0.to_le_bytes()))?;
        self.highest.insert(stream, seq);
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamId, Seq)> {
        self.highest.iter().map(|(stream, seq)| (*stream, *seq))
    }
}
