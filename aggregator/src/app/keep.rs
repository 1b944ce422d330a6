//! Keeping the house: who is here, retention, room on the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::errors::chain;
use tokio::sync::{mpsc, watch};

use super::stores::Stores;
use super::utc_now;
use crate::config::Config;
use crate::intake::Presence;
use crate::roster::{Landing, Roster};
use crate::stores::retention::Room;

/// Time between two looks at what is too old.
const RETENTION_EVERY: Duration = Duration::from_secs(600);
/// The same while there is too little room. Each look removes one day.
const ROOM_EVERY: Duration = Duration::from_secs(10);

/// Tells the roster who comes and goes. The end of an old connection does not hide a newer one.
pub(super) async fn presence(
    mut told: mpsc::UnboundedReceiver<Presence>,
    roster: Arc<Mutex<Roster>>,
    aggregator: String,
) {
    let mut here: HashMap<Arc<str>, u64> = HashMap::new();
    while let Some(presence) = told.recv().await {
        let now = utc_now();
        let mut roster = roster.lock().unwrap_or_else(PoisonError::into_inner);
        if presence.here {
            here.insert(presence.host.clone(), presence.connection);
            let landing = Landing {
                host: &presence.host,
                datacenter: &presence.datacenter,
                aggregator: &aggregator,
                rank: presence.rank,
            };
            roster.on_connected(landing, now);
        } else if here.get(&presence.host) == Some(&presence.connection) {
            here.remove(&presence.host);
            roster.on_disconnected(&presence.host, &aggregator, now);
        }
    }
}

/// Removes what is too old, and the oldest when the disk gets full: at once, and on until there is room.
pub(super) async fn house(stores: Stores, config: Arc<Config>, mut room: watch::Receiver<Room>) {
    loop {
        let (stores, config, now) = (stores.clone(), config.clone(), *room.borrow_and_update());
        let retain = move || stores.retain(&config, now, utc_now());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(retain).await {
            tracing::error!(error = chain(&error), "Old data cannot be removed.");
        }
        let pause = if now == Room::Enough { RETENTION_EVERY } else { ROOM_EVERY };
        let _ = tokio::time::timeout(pause, room.changed()).await;
    }
}
