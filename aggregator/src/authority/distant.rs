//! The authority, asked by an aggregator that does not have it: over the link to the peer that has.

use std::sync::Arc;
use std::time::Duration;

use muster_link::identity::new_key_and_csr;
use muster_link::{Identity, IdentityStore, Peer, RenewalClock, crypto};
use muster_proto::errors::chain;
use serde_bytes::ByteBuf;

use super::{Authority, Heard};
use crate::api::Peers as _;
use crate::intake::{Renew, Renewer};
use crate::peers::PeerLinks;
use crate::peers::errand::{Errand, Renewed, Revocations};

/// Longest wait for a peer that signs.
const SIGN_WAIT: Duration = Duration::from_secs(10);
/// Time between two questions for the revocation list.
const REVOCATIONS_EVERY: Duration = Duration::from_secs(3);
/// Time between two looks at our own certificate.
const OWN_EVERY: Duration = Duration::from_secs(5);
/// Longest pause after a renewal of our own certificate has failed; it doubles from [`OWN_EVERY`] on.
const OWN_RETRY_MAX: Duration = Duration::from_secs(600);

/// Asks every peer until one signs.
pub struct Distant {
    links: Arc<PeerLinks>,
}

impl Distant {
    /// Asks over these links.
    pub fn new(links: Arc<PeerLinks>) -> Distant {
        Distant { links }
    }

    async fn ask(&self, errand: &Errand) -> Result<Vec<Vec<u8>>, String> {
        let mut why = "no other aggregator is linked".to_owned();
        for peer in self.links.names() {
            let asked = tokio::time::timeout(SIGN_WAIT, self.links.send(&peer, errand)).await;
            let Ok(Ok(answer)) = asked else { continue };
            match serde_cbor::from_slice::<Renewed>(&answer) {
                Ok(Ok(certificates)) => {
                    return Ok(certificates.into_iter().map(ByteBuf::into_vec).collect());
                }
                Ok(Err(refused)) => why = format!("{peer}: {refused}"),
                Err(error) => why = format!("{peer}: its answer cannot be read: {error}"),
            }
        }
        Err(why)
    }
}

impl Renewer for Distant {
    fn renew(&self, renew: &Renew) -> Result<Vec<Vec<u8>>, String> {
        let errand = Errand::Renew { serial: renew.peer.serial.clone(), csr: renew.csr.clone() };
        tokio::runtime::Handle::current().block_on(self.ask(&errand))
    }
}

/// Answers a peer's errand that is the authority's business.
pub async fn answer_peer(
    authority: Option<Arc<Authority>>,
    asker: Peer,
    errand: Errand,
) -> Vec<u8> {
    let answered = tokio::task::spawn_blocking(move || match errand {
        Errand::Renew { serial, csr } => {
            let signed: Renewed = match authority {
                Some(authority) => authority
                    .renew_for(&asker, &serial, &csr)
                    .map(|chain| chain.into_iter().map(ByteBuf::from).collect()),
                None => Err("it has no certificate authority".to_owned()),
            };
            serde_cbor::to_vec(&signed)
        }
        Errand::Revocations { known } => {
            serde_cbor::to_vec(&authority.map_or(Revocations::NotHere, |a| a.revocations(&known)))
        }
        Errand::Page(_) | Errand::Digest(_) | Errand::Roots { .. } => Ok(Vec::new()),
    });
    answered.await.ok().and_then(Result::ok).unwrap_or_default()
}

/// Keeps our copy of the revocation list like that of the aggregator that has the authority. A list that the
/// authority has not signed, or that is older than ours, is refused: see [`IdentityStore::take_revocations`].
pub async fn follow_revocations(
    links: Arc<PeerLinks>,
    store: Arc<IdentityStore>,
    heard: Arc<Heard>,
) {
    let mut known: Vec<u8> = crypto::sha256(b"").to_vec();
    loop {
        let errand = Errand::Revocations { known: known.clone() };
        let (mut answered, mut trouble) = (false, None);
        for peer in links.names() {
            let asked = tokio::time::timeout(SIGN_WAIT, links.send(&peer, &errand)).await;
            let Ok(Ok(answer)) = asked else { continue };
            match serde_cbor::from_slice(&answer) {
                Ok(Revocations::Same) => answered = true,
                Ok(Revocations::List(pem)) => match store.take_revocations(&pem) {
                    Ok(news) => {
                        (known, answered) = (crypto::sha256(&pem).to_vec(), true);
                        if news {
                            tracing::info!(peer, "The revocation list has changed.");
                        }
                    }
                    Err(error) => trouble = Some(format!("from {peer}: {}", chain(&error))),
                },
                Ok(Revocations::NotHere) => {}
                Err(error) => trouble = Some(format!("{peer}: its answer cannot be read: {error}")),
            }
        }
        heard.on_round(answered.then(|| store.now()), trouble);
        tokio::time::sleep(REVOCATIONS_EVERY).await;
    }
}

/// Renews our own certificate when it is due.
pub async fn keep_own(renewer: Arc<dyn Renewer>, store: Arc<IdentityStore>) {
    let (mut clock, mut pause) = (RenewalClock::new(fastrand::u64(..)), OWN_EVERY);
    loop {
        // Before the first look the links to the peers come up.
        tokio::time::sleep(pause).await;
        if clock.is_due(&store.identity(), store.now()) {
            let (renewer, store) = (renewer.clone(), store.clone());
            let renewed = tokio::task::spawn_blocking(move || renew_own(&*renewer, &store)).await;
            match renewed.unwrap_or_else(|_| Err("the signer failed".to_owned())) {
                Ok(identity) => {
                    let expires_at = identity.expires_at().as_secs();
                    tracing::info!(expires_at, "Our own certificate is renewed.");
                    pause = OWN_EVERY;
                }
                Err(why) => {
                    tracing::error!(why, "Our own certificate is not renewed.");
                    pause = (pause * 2).min(OWN_RETRY_MAX);
                }
            }
        }
    }
}

fn renew_own(renewer: &dyn Renewer, store: &IdentityStore) -> Result<Arc<Identity>, String> {
    let identity = store.identity();
    let key = new_key_and_csr(identity.name()).map_err(|error| chain(&error))?;
    let certificates = renewer.renew(&Renew { csr: key.csr, peer: identity.me().clone() })?;
    Identity::replace(identity.dir(), &key.key_pem, &certificates)
        .and_then(|()| store.reload())
        .map_err(|error| chain(&error))
}
