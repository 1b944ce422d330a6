//! The fleet's common knowledge: leases and incidents, opened, kept up to date once a second, saved.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::errors::chain;

use super::utc_now;
use crate::config::Config;
use crate::fatal::Fatal;
use crate::incidents::{IncidentChanges, Incidents, Survey};
use crate::roster::Roster;
use crate::roster::leases::{LeaseChanges, Leases};
use crate::stores::state::fleet::FleetStore;

/// Time between two looks at the fleet.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What everybody who asks about the fleet shares.
#[derive(Clone)]
pub(super) struct Fleet {
    pub(super) leases: Arc<Mutex<Leases>>,
    pub(super) incidents: Arc<Mutex<Incidents>>,
    store: Arc<Mutex<FleetStore>>,
    unsaved: Arc<Mutex<(LeaseChanges, IncidentChanges)>>,
}

impl Fleet {
    /// Reads back what was known before a restart.
    pub(super) fn open(config: &Config, state_db: &Path) -> Result<Fleet, Fatal> {
        let store = FleetStore::open(state_db)?;
        let saved = store.load()?;
        let peers: Vec<(String, String)> =
            config.peers.iter().map(|peer| (peer.name.clone(), peer.datacenter.clone())).collect();
        let mut leases = Leases::new((&config.name, &config.datacenter), &peers, utc_now());
        leases.restore(saved.leases);
        Ok(Fleet {
            leases: Arc::new(Mutex::new(leases)),
            incidents: Arc::new(Mutex::new(Incidents::restore(saved.incidents))),
            store: Arc::new(Mutex::new(store)),
            unsaved: Arc::default(),
        })
    }

    /// Looks at the fleet for ever.
    pub(super) async fn watch(self, roster: Arc<Mutex<Roster>>) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let (fleet, roster) = (self.clone(), roster.clone());
            // A look at a large fleet takes milliseconds, a save waits for the disk.
            let _ = tokio::task::spawn_blocking(move || fleet.look(&roster)).await;
        }
    }

    fn look(&self, roster: &Mutex<Roster>) {
        let now = utc_now();
        let moved = roster.lock().unwrap_or_else(PoisonError::into_inner).moved();
        let watched: BTreeSet<String> =
            self.incidents.lock().unwrap_or_else(PoisonError::into_inner).watched();
        let (survey, lease_changes) = {
            let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
            for (host, lease) in moved {
                leases.on_own(&host, lease, now);
            }
            leases.on_tick(now);
            (Survey::take(&leases, &watched, now), leases.changes())
        };
        let (told, incident_changes) = {
            let mut incidents = self.incidents.lock().unwrap_or_else(PoisonError::into_inner);
            incidents.on_survey(&survey, now);
            (incidents.told(), incidents.changes())
        };
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).on_open(told);
        for incident in &incident_changes.incidents {
            let (id, verdict) = (incident.id(), &incident.verdict);
            match incident.until {
                None => tracing::warn!(id, kind = incident.kind.name(), verdict, "Incident."),
                Some(_) => tracing::info!(id, verdict, "The incident is over."),
            }
        }
        self.save(lease_changes, incident_changes);
    }

    fn save(&self, leases: LeaseChanges, incidents: IncidentChanges) {
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        unsaved.0.merge(leases);
        unsaved.1.merge(incidents);
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        match store.save(&unsaved.0, &unsaved.1) {
            Ok(()) => *unsaved = Default::default(),
            // What is not saved is tried again with the next look.
            Err(error) => {
                tracing::error!(error = chain(&error), "Leases and incidents cannot be saved.");
            }
        }
    }
}
