//! Looking after ourselves, once a second: how much room there is, what our own checks say.
//!
//! Nothing here needs a write: it works when the disk is full.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use muster_link::IdentityStore;
use muster_proto::clock::{Moment, Mono};
use muster_proto::state::CheckState;
use tokio::sync::watch;

use super::own::Own;
use super::utc_now;
use crate::checks::{Board, CertificateFacts, Facts, LOOK_EVERY, LaneFacts, StoreFacts};
use crate::inbox::InboxBoard;
use crate::stores::retention::{Room, decide_room, room};

/// What the last look found. Shared with the API and with whoever acts upon it.
pub(super) struct Health {
    board: Mutex<Board>,
    room: watch::Sender<Room>,
    full: watch::Sender<bool>,
}

impl Health {
    /// Nothing is known yet.
    pub(super) fn new() -> Health {
        let (room, full) = (watch::Sender::new(Room::Enough), watch::Sender::new(false));
        Health { board: Mutex::default(), room, full }
    }

    /// What our own checks say.
    pub(super) fn states(&self) -> Vec<CheckState> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).states()
    }

    /// How much room there is on the disk.
    pub(super) fn room(&self) -> watch::Receiver<Room> {
        self.room.subscribe()
    }

    /// True while nothing is acked for lack of room.
    pub(super) fn full(&self) -> watch::Receiver<bool> {
        self.full.subscribe()
    }

    fn on_look(&self, now: Moment, facts: Facts) {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).on_look(now, facts);
    }

    /// Takes how much is free; true when nothing may be acked. What cannot be read changes nothing.
    fn on_free(&self, free: &Result<f64, String>) -> bool {
        let before = *self.room.borrow();
        let now = free.as_ref().map_or(before, |free| decide_room(*free, before));
        let stops = now == Room::StopAcking;
        if now != before {
            tracing::warn!(room = ?now, "The room on the disk has changed.");
            self.room.send_replace(now);
            self.full.send_replace(stops);
        }
        stops
    }
}

/// Looks for ever.
pub(super) async fn keep(health: Arc<Health>, own: Arc<Own>, identity: Arc<IdentityStore>) {
    let start = Instant::now();
    loop {
        // statvfs(3) waits for a disk that hangs: then the rows get stale, and nothing else waits.
        let (health, own, identity) = (health.clone(), own.clone(), identity.clone());
        let look = move || {
            let disk_free = room(&own.state_dir).map_err(|error| error.to_string());
            let stops_acking = health.on_free(&disk_free);
            own.boards.iter().for_each(|board| board.hold(stops_acking));
            let mono = Mono(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
            let facts = own.facts((disk_free, stops_acking), &identity);
            health.on_look(Moment { utc: utc_now(), mono }, facts);
        };
        let _ = tokio::task::spawn_blocking(look).await;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Own {
    fn facts(
        &self,
        (disk_free, stops_acking): (Result<f64, String>, bool),
        identity: &IdentityStore,
    ) -> Facts {
        let identity = identity.identity();
        let lane = |board: &Arc<InboxBoard>| {
            let (bytes, budget_bytes) = board.usage();
            let lane = board.lane.to_string();
            LaneFacts { lane, refusal: board.refusal(), bytes, budget_bytes }
        };
        Facts {
            disk_free,
            stops_acking,
            lanes: self.boards.iter().map(lane).collect(),
            stores: self.stores(),
            peers: self.peers.iter().map(|peer| (peer.clone(), self.links.is_open(peer))).collect(),
            certificate: CertificateFacts {
                issued_at: identity.me().valid_from,
                expires_at: identity.expires_at(),
            },
            revocations: self.heard.facts(),
            overflows: self.overflows().to_vec(),
        }
    }

    /// How often each limit was hit of what hosts can make us remember.
    pub(super) fn overflows(&self) -> [(&'static str, u64); 6] {
        let sum = |count: &dyn Fn(&InboxBoard) -> &AtomicU64| -> u64 {
            self.boards.iter().map(|board| count(board).load(Relaxed)).sum()
        };
        let excess = self.roster.lock().unwrap_or_else(PoisonError::into_inner).excess();
        [
            ("streams-a-host", sum(&|board| &board.streams_forgotten)),
            ("streams", sum(&|board| &board.streams_refused)),
            ("roster-hosts", excess.batches),
            ("roster-checks", excess.checks),
            ("roster-evidence", excess.evidence),
            ("roster-streams", excess.lives),
        ]
    }

    fn stores(&self) -> Vec<StoreFacts> {
        let pairs = self.boards.iter().zip(&self.counts);
        let each = pairs.map(|(board, counts)| StoreFacts {
            store: board.lane.to_string(),
            waiting: board.durable().saturating_sub(counts.seen.load(Relaxed)),
            failures: counts.failures.load(Relaxed),
            last_error: counts.last_error(),
        });
        each.collect()
    }
}
