//! Keeping the house: who is here, retention, room on the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::errors::chain;
use tokio::sync::mpsc;

use super::stores::Stores;
use super::utc_now;
use crate::config::Config;
use crate::intake::Presence;
use crate::roster::Roster;

/// Time between two looks at what is too old.
const RETENTION_EVERY: Duration = Duration::from_secs(600);

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
            roster.on_connected(&presence.host, &aggregator, now);
        } else if here.get(&presence.host) == Some(&presence.connection) {
            here.remove(&presence.host);
            roster.on_disconnected(&presence.host, &aggregator, now);
        }
    }
}

/// Removes what is too old, and the oldest when the disk gets full.
pub(super) async fn house(stores: Stores, config: Arc<Config>) {
    loop {
        let (stores, config) = (stores.clone(), config.clone());
        let kept = tokio::task::spawn_blocking(move || stores.retain(&config, utc_now())).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(error = chain(&error), "Old data cannot be removed.");
        }
        tokio::time::sleep(RETENTION_EVERY).await;
    }
}
