//! The stores of this aggregator: opened together, followed by a thread each.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use muster_program::pulse::{Beat, Pulse};
use muster_proto::clock::Utc;
use muster_proto::lane::Lane;

use super::utc_now;
use crate::config::Config;
use crate::fatal::Fatal;
use crate::follow::{
    FollowCounts, Follower, Following, LogFollower, MetricFollower, StateFollower,
};
use crate::inbox::{ClosedInbox, Inbox};
use crate::roster::Roster;
use crate::stores::StoreError;
use crate::stores::logs::{LogSettings, LogStore};
use crate::stores::metrics::{MetricSettings, MetricStore};
use crate::stores::retention::{Keep, Removed, Room};
use crate::stores::state::StateStore;

/// Everything that is kept.
#[derive(Clone)]
pub(super) struct Stores {
    pub(super) logs: LogStore,
    pub(super) metrics: MetricStore,
    pub(super) roster: Arc<Mutex<Roster>>,
    state_path: PathBuf,
}

impl Stores {
    /// Opens or makes every store below the state directory.
    pub(super) fn open(config: &Config, inboxes: &[ClosedInbox]) -> Result<Stores, Fatal> {
        let stream =
            |lane: Lane| inboxes.iter().find(|inbox| inbox.lane() == lane).map(ClosedInbox::stream);
        let log_settings = LogSettings {
            head_bytes: config.store.seal_bytes,
            head_age: config.store.seal_age,
            ..LogSettings::default()
        };
        let metric_settings =
            MetricSettings { head_age: config.store.seal_age, ..MetricSettings::default() };
        let folder = |name: &str| config.state_dir.join(name);
        let logs =
            LogStore::open(&folder("logs"), stream(Lane::Logs).unwrap_or_default(), log_settings)?;
        let metrics = MetricStore::open(
            &folder("metrics"),
            stream(Lane::Metrics).unwrap_or_default(),
            metric_settings,
        )?;
        let state_path = folder("state.db");
        let loaded = StateStore::open(&state_path)?.load()?;
        let roster = Roster::restore(utc_now(), loaded.hosts, loaded.checks);
        let roster = Arc::new(Mutex::new(roster));
        Ok(Stores { logs, metrics, roster, state_path })
    }

    /// The file of the fleet's state.
    pub(super) fn state_path(&self) -> &Path {
        &self.state_path
    }

    /// Starts a follower on each lane.
    pub(super) fn follow(
        &self,
        inboxes: &[Inbox],
        counts: &[Arc<FollowCounts>; 3],
        config: &Config,
        (stop, pulse): (&Arc<AtomicBool>, &mut Pulse),
    ) -> Result<Vec<JoinHandle<()>>, Fatal> {
        let mut threads = Vec::new();
        for inbox in inboxes {
            let board = inbox.board.clone();
            let lane = board.lane;
            let beat = pulse.beat(&format!("follow-{lane}"));
            let launch = Launch { board, stop: stop.clone(), beat };
            let thread = match lane {
                Lane::State => {
                    let store = StateStore::open(&self.state_path)?;
                    let saved_upto = launch.board.cursor(crate::follow::STATE_CURSOR);
                    let follower = StateFollower {
                        roster: self.roster.clone(),
                        store,
                        aggregator: config.name.clone(),
                        saved_at: Utc(0),
                        saved_upto,
                        unsaved: Default::default(),
                    };
                    launch.start(follower, counts[0].clone())
                }
                Lane::Metrics => {
                    let follower = MetricFollower { store: self.metrics.clone() };
                    launch.start(follower, counts[1].clone())
                }
                Lane::Logs | Lane::Bulk => {
                    let follower = LogFollower { store: self.logs.clone() };
                    launch.start(follower, counts[2].clone())
                }
            };
            let failed = |source| Fatal::System { what: "start a thread", source };
            threads.push(thread.map_err(failed)?);
        }
        Ok(threads)
    }

    /// Removes what is older than its class keeps, and the oldest day when there is not enough room.
    pub(super) fn retain(&self, config: &Config, room: Room, now: Utc) -> Result<(), StoreError> {
        let log_keep = |class: &str| keep_for(config.class(class).retention);
        tell(&self.logs.retain(now, &log_keep)?);
        tell(&self.metrics.retain(now, keep_for(config.metrics_retention))?);
        if room != Room::Enough {
            let oldest = [self.logs.oldest_day(now)?, self.metrics.oldest_day(now)?];
            if let Some(day) = oldest.into_iter().flatten().min() {
                tracing::error!(?room, "The disk is nearly full: the oldest day goes.");
                tell(&self.logs.drop_day(day)?);
                tell(&self.metrics.drop_day(day)?);
            }
        }
        Ok(())
    }
}

fn keep_for(retention: Duration) -> Keep {
    let days = retention.as_secs().div_ceil(86_400);
    Keep { days: u32::try_from(days).unwrap_or(u32::MAX), bytes: None }
}

fn tell(removed: &[Removed]) {
    for file in removed {
        tracing::info!(file = %file.file.display(), bytes = file.bytes, why = ?file.why, "Removed.");
    }
}

/// What the thread of every follower needs.
struct Launch {
    board: Arc<crate::inbox::InboxBoard>,
    stop: Arc<AtomicBool>,
    beat: Beat,
}

impl Launch {
    fn start<F: Follower + 'static>(
        self,
        follower: F,
        counts: Arc<FollowCounts>,
    ) -> std::io::Result<JoinHandle<()>> {
        let name = format!("follow-{}", self.board.lane);
        let Launch { board, stop, beat } = self;
        let following = Following { follower, board, counts, clock: utc_now, stop, beat };
        std::thread::Builder::new().name(name).spawn(move || following.run())
    }
}
