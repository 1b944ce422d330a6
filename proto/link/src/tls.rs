//! TLS 1.3 on both sides: who is trusted, and why somebody was not.
//!
//! Room: `link`.  May use: `identity`, `store`.  Used by: `dial`, `listen`, `enrol`.
//!
//! Invariants
//! - TLS 1.3 only. No resumption, no tickets, no 0-RTT: rustls does not verify the client's
//!   certificate again when a session is resumed, so a revoked host could come back for hours.
//! - Every handshake has its own verifier object, which notes the exact fault ([`Seen`]); the QUIC
//!   error alone carries only a TLS alert number.
//! - A client without a certificate passes TLS (it may want to enrol); `listen` refuses it unless it
//!   speaks [`ALPN_ENROL`].

use std::sync::{Arc, OnceLock};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{SignatureScheme, client, server};

use crate::crypto;
use crate::error::{CertFault, LinkError};
use crate::identity::Identity;
use crate::store::IdentityStore;

mod gate;

use gate::Gate;

/// Application protocol of an ordinary connection.
pub const ALPN_MUSTER: &[u8] = b"muster/1";
/// Application protocol of an enrolment: the client has a token instead of a certificate.
pub const ALPN_ENROL: &[u8] = b"muster-enrol/1";

/// The verifiers of one identity; built once, since a CRL is parsed here.
#[derive(Debug)]
pub(crate) struct Trust {
    client: Arc<dyn ClientCertVerifier>,
    server: Arc<WebPkiServerVerifier>,
}

impl Trust {
    /// A CRL whose time is over still counts: an old list is better than a fleet that stands still.
    pub(crate) fn of(identity: &Identity) -> Result<Trust, VerifierBuilderError> {
        let (roots, crls) = (identity.roots.clone(), identity.crls.clone());
        let client = WebPkiClientVerifier::builder_with_provider(roots.clone(), crypto::provider())
            .with_crls(crls.clone())
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .allow_unauthenticated()
            .clear_root_hint_subjects()
            .build()?;
        let server = WebPkiServerVerifier::builder_with_provider(roots, crypto::provider())
            .with_crls(crls)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()?;
        Ok(Trust { client, server })
    }
}

/// Where a verifier leaves the fault it found in the peer's certificate.
pub(crate) type Seen = Arc<OnceLock<CertFault>>;

/// TLS of one incoming connection.
pub(crate) fn server_config(
    store: &Arc<IdentityStore>,
    seen: Seen,
) -> Result<QuicServerConfig, LinkError> {
    let in_use = store.in_use();
    let key = Arc::new(OneKey(in_use.identity.certified.clone()));
    let gate = Arc::new(Gate { in_use, store: store.clone(), seen });
    let mut config = rustls::ServerConfig::builder_with_details(crypto::provider(), store.time())
        .with_protocol_versions(&[&TLS13])
        .map_err(LinkError::Tls)?
        .with_client_cert_verifier(gate)
        .with_cert_resolver(key);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![ALPN_MUSTER.to_vec(), ALPN_ENROL.to_vec()];
    config.try_into().map_err(no_suite)
}

/// TLS of one HTTPS connection: our certificate, none from the client.
pub(crate) fn web_config(store: &IdentityStore) -> Result<rustls::ServerConfig, rustls::Error> {
    let key = Arc::new(OneKey(store.in_use().identity.certified.clone()));
    let mut config = rustls::ServerConfig::builder_with_details(crypto::provider(), store.time())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(key);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// TLS of one dial with our certificate.
pub(crate) fn client_config(
    store: &Arc<IdentityStore>,
    seen: Seen,
) -> Result<QuicClientConfig, LinkError> {
    let in_use = store.in_use();
    let key = Arc::new(OneKey(in_use.identity.certified.clone()));
    let gate = Arc::new(Gate { in_use, store: store.clone(), seen });
    let mut config = rustls::ClientConfig::builder_with_details(crypto::provider(), store.time())
        .with_protocol_versions(&[&TLS13])
        .map_err(LinkError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(gate)
        .with_client_cert_resolver(key);
    config.resumption = client::Resumption::disabled();
    config.alpn_protocols = vec![ALPN_MUSTER.to_vec()];
    config.try_into().map_err(no_suite)
}

/// TLS of a dial without a certificate: `verifier` decides whom to trust.
pub(crate) fn bare_client_config(
    verifier: Arc<dyn ServerCertVerifier>,
    alpn: &[u8],
) -> Result<QuicClientConfig, LinkError> {
    let mut config = rustls::ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(LinkError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = client::Resumption::disabled();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.try_into().map_err(no_suite)
}

fn no_suite<E>(_: E) -> LinkError {
    LinkError::Tls(rustls::Error::General("no TLS13_AES_128_GCM_SHA256".to_owned()))
}

/// Hands out the one key we have, whatever the other side would like.
#[derive(Debug)]
struct OneKey(Arc<CertifiedKey>);

impl server::ResolvesServerCert for OneKey {
    fn resolve(&self, _: server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl client::ResolvesClientCert for OneKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
