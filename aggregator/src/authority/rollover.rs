//! The list of certificate authorities on its way: from the authority's directory to the aggregators, and by them
//! to the agents. It is signed, so it may come from anybody: see [`IdentityStore::take_roots`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_link::IdentityStore;
use muster_proto::errors::chain;
use serde_bytes::ByteBuf;
use tokio::sync::watch;

use super::Authority;
use crate::api::Peers as _;
use crate::peers::PeerLinks;
use crate::peers::errand::{Errand, RootsAnswer};

/// Time between two looks for a new list.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Longest wait for a peer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The list that we go by, when it is newer than what a peer has.
pub fn answer(store: &IdentityStore, held: u64) -> Vec<u8> {
    let identity = store.identity();
    let news = identity.signed_list().filter(|_| identity.roots_number() > held);
    let answer: RootsAnswer = news.map(|list| ByteBuf::from(list.to_vec()));
    serde_cbor::to_vec(&answer).unwrap_or_default()
}

/// Keeps our list like the newest that a peer has. `news` tells the number of ours.
pub async fn follow(links: Arc<PeerLinks>, store: Arc<IdentityStore>, news: watch::Sender<u64>) {
    loop {
        for peer in links.names() {
            let errand = Errand::Roots { number: store.identity().roots_number() };
            let asked = tokio::time::timeout(ANSWER_WAIT, links.send(&peer, &errand)).await;
            // One of an earlier version says nothing.
            let Ok(Ok(answer)) = asked else { continue };
            if let Ok(Some(list)) = serde_cbor::from_slice::<RootsAnswer>(&answer) {
                take(&store, &list, &news, &peer);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks for a step of a rollover in the authority's directory, which another process takes.
pub async fn watch_dir(
    ca_dir: PathBuf,
    authority: Arc<Authority>,
    store: Arc<IdentityStore>,
    news: watch::Sender<u64>,
) {
    let path = ca_dir.join("ca.roots");
    let mut seen = None;
    loop {
        let now = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        if now != seen {
            match authority.reopen() {
                Ok(list) => {
                    take(&store, &list, &news, "the authority");
                    seen = now;
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "The authority cannot be read anew.");
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn take(store: &IdentityStore, list: &[u8], news: &watch::Sender<u64>, from: &str) {
    if list.is_empty() {
        return;
    }
    match store.take_roots(list) {
        Ok(true) => {
            let identity = store.identity();
            let (number, authorities) = (identity.roots_number(), identity.roots().count());
            tracing::info!(number, authorities, from, "The list of authorities has changed.");
            news.send_replace(number);
        }
        Ok(false) => {}
        Err(error) => {
            tracing::error!(from, error = chain(&error), "A list of authorities is not taken.");
        }
    }
}
