//! Dicts of a lane: what its metric frames refer to, kept as notes as long as a frame needs them.
//!
//! A dict's number is the seq of the first frame that uses it, so a later dict ends an earlier one.

use std::sync::Arc;

use muster_proto::errors::chain;
use muster_proto::frame::{Kind, Sealed};
use muster_proto::ids::Seq;
use muster_spool::Spool;

use super::LaneBoard;

const KEY: &[u8] = b"dict/";

/// The number of the dict that new frames use.
pub(super) struct Dicts {
    current: u64,
}

impl Dicts {
    /// Finds the dicts that unacked frames of an earlier run still need.
    pub(super) fn restore(spool: &Spool, board: &LaneBoard) -> Dicts {
        let mut current = 0;
        for (key, frame) in spool.notes() {
            let number = key.strip_prefix(KEY).and_then(|number| number.try_into().ok());
            if let Some(number) = number.map(u64::from_be_bytes) {
                board.put_dict(number, Arc::from(frame));
                current = current.max(number);
            }
        }
        Dicts { current }
    }

    /// Makes `dict` the one that frame `seq` and its successors need.
    pub(super) fn open(&mut self, spool: &mut Spool, board: &LaneBoard, seq: Seq, dict: &Sealed) {
        let header = dict.header(board.lane, board.stream, seq);
        let mut frame = header.encode().to_vec();
        frame.extend_from_slice(&dict.body);
        if let Err(error) = spool.note(&key(seq.0), Some(&frame)) {
            let error = chain(&error);
            tracing::error!(
                error,
                "A dict cannot be kept: after a restart its frames are unreadable."
            );
        }
        board.put_dict(seq.0, frame.into());
        self.current = seq.0;
    }

    /// Number of the dict that frame `seq` needs; it `brings` one or uses the current one.
    pub(super) fn needed_by(&self, kind: Kind, seq: Seq, brings: bool) -> u64 {
        match kind {
            Kind::Metric if brings => seq.0,
            Kind::Metric => self.current,
            Kind::Log | Kind::State | Kind::Dict | Kind::Bulk => 0,
        }
    }

    /// Forgets what no frame after `released` needs.
    pub(super) fn retire(&self, spool: &mut Spool, board: &LaneBoard, released: u64) {
        for number in board.retire_dicts(released) {
            if spool.note(&key(number), None).is_err() {
                return; // kept a little longer; the next release removes it
            }
        }
    }
}

fn key(number: u64) -> Vec<u8> {
    [KEY, &number.to_be_bytes()].concat()
}
