//! Renewal of certificates over a living connection.

use std::sync::Arc;

use muster_link::Peer;
use muster_proto::control::FromAggregator;

/// A request to sign a new key for the same host.
#[derive(Debug, Clone)]
pub struct Renew {
    /// PKCS#10 request, DER.
    pub csr: Vec<u8>,
    /// Who asks; its certificate is valid, the handshake proved it.
    pub peer: Peer,
}

/// Whoever can sign: the authority here, or the aggregator that has it.
pub trait Renewer: Send + Sync {
    /// Signs; gives the chain, leaf first, DER.
    ///
    /// # Errors
    /// A sentence for the agent's log.
    fn renew(&self, renew: &Renew) -> Result<Vec<Vec<u8>>, String>;
}

/// Signs without holding up the connection. `None` when it cannot be done: the agent asks again later,
/// and a refusal would cost it its connection.
pub(super) async fn answer(renewer: Arc<dyn Renewer>, renew: Renew) -> Option<FromAggregator> {
    let host = renew.peer.name.clone();
    let signed = tokio::task::spawn_blocking(move || renewer.renew(&renew)).await;
    match signed.unwrap_or_else(|_| Err("the signer failed".to_owned())) {
        Ok(chain) => {
            tracing::info!(host, "Certificate renewed.");
            let chain = chain.into_iter().map(serde_bytes::ByteBuf::from).collect();
            Some(FromAggregator::Renewed { chain })
        }
        Err(why) => {
            tracing::warn!(host, why, "Certificate not renewed.");
            None
        }
    }
}
