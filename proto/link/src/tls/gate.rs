//! The verifier of one handshake, of either side: the CA's word, then ours.
//!
//! Room: `link`.  May use: `store`, `peer`.  Used by: `tls`.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Seen;
use crate::error::{CertFault, RetiredAuthority};
use crate::peer::Peer;
use crate::store::{IdentityStore, InUse};

/// Lets a certificate pass that the CA vouches for, that is one of ours, and that is not revoked.
pub(super) struct Gate {
    pub(super) in_use: Arc<InUse>,
    pub(super) store: Arc<IdentityStore>,
    pub(super) seen: Seen,
}

impl Gate {
    /// What webpki says of a certificate, then what we say; the fault is noted.
    fn pass<T>(&self, leaf: &[u8], outcome: Result<T, rustls::Error>) -> Result<T, rustls::Error> {
        let refused = |fault, error| {
            let _ = self.seen.set(fault);
            Err(rustls::Error::InvalidCertificate(error))
        };
        let verified = match outcome {
            Ok(verified) => verified,
            Err(error) => {
                let fault = CertFault::from_rustls(&error);
                if fault == CertFault::UnknownIssuer && self.in_use.identity.is_of_retired(leaf) {
                    let told = OtherError(Arc::new(RetiredAuthority));
                    return refused(CertFault::Retired, CertificateError::Other(told));
                }
                let _ = self.seen.set(fault);
                return Err(error);
            }
        };
        match Peer::parse(leaf) {
            Ok(peer) if self.store.is_revoked(&peer.serial) => {
                refused(CertFault::Revoked, CertificateError::Revoked)
            }
            Ok(_) => Ok(verified),
            Err(error) => {
                let fault = CertFault::NotAPeer(error);
                refused(fault, CertificateError::ApplicationVerificationFailure)
            }
        }
    }
}

/// Both traits ask the same of a signature, and the provider has one list of algorithms for both.
macro_rules! signatures_by_provider {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.in_use.trust.server.verify_tls12_signature(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.in_use.trust.server.verify_tls13_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.in_use.trust.server.supported_verify_schemes()
        }
    };
}

impl ClientCertVerifier for Gate {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.pass(leaf, self.in_use.trust.client.verify_client_cert(leaf, others, now))
    }

    signatures_by_provider!();
}

impl ServerCertVerifier for Gate {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let server = &self.in_use.trust.server;
        self.pass(leaf, server.verify_server_cert(leaf, others, name, ocsp, now))
    }

    signatures_by_provider!();
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}
