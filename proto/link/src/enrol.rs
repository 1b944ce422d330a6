//! Enrolment: a host that has a one-time token gets a certificate.
//!
//! Room: `link`.  May use: `identity`, `token`.  Used by: `listen`, the agent's `enroll`.
//!
//! Over ALPN `muster-enrol/1`, server-authenticated only. The client trusts the server by the CA's
//! fingerprint, which stands in the token itself, or by a CA file. On the client's first
//! bidirectional stream, each `len u32 le | CBOR`:
//!
//! ```text
//! client: Request { version, token, name, role, csr }      the random part of the token only
//! server: Answer::Granted { chain, roots } | Answer::Refused { why }
//! ```
//!
//! Absent on purpose: the decision. [`EnrolRequest`] is handed to the program, which asks the CA.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_proto::limits::{CONTROL_BYTES_MAX, NAME_BYTES_MAX};
use quinn::{RecvStream, SendStream};
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::cbor;
use crate::connection::canonical;
use crate::crypto;
use crate::dial::{connect, open_endpoint, peer_of, quic_config, say_goodbye};
use crate::error::{CertFault, Close, LinkError, printable};
use crate::identity::{Fresh, Identity, IdentityError, new_key_and_csr};
use crate::peer::Role;
use crate::store::IdentityStore;
use crate::tls::{self, ALPN_ENROL, Seen};
use crate::token::Token;
use crate::tuning::Tuning;

const VERSION: u16 = 1;
/// Certificates in an answer. A chain and the CAs of a fleet.
const CERTIFICATES_MAX: usize = 32;
/// How long a server waits until its answer has been received.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Request {
    version: u16,
    token: String,
    name: String,
    role: String,
    #[serde(with = "serde_bytes")]
    csr: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Granted { chain: Vec<ByteBuf>, roots: Vec<ByteBuf> },
    Refused { why: String },
}

/// Why an enrolment did not happen.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The aggregator was not reached or not trusted.
    #[error("cannot reach the aggregator at {addr}")]
    Link {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: LinkError,
    },
    /// The aggregator said no.
    #[error("the aggregator refuses to enrol {name}: {why}")]
    Refused {
        /// Whom.
        name: String,
        /// Its words, made printable.
        why: String,
    },
    /// The aggregator's answer is of no use.
    #[error("the aggregator's answer cannot be used: {0}")]
    Answer(&'static str),
    /// The key cannot be made or the identity not be stored.
    #[error("cannot store the new identity")]
    Identity(#[from] IdentityError),
}

/// Whom a host trusts before it has an identity.
#[derive(Debug, Clone)]
pub enum Anchor {
    /// The CA whose certificate (DER) has this SHA-256.
    Pin([u8; 32]),
    /// These CAs, DER.
    Roots(Vec<CertificateDer<'static>>),
}

/// What a host asks for.
#[derive(Debug, Clone)]
pub struct Enrolment<'a> {
    /// The aggregator.
    pub addr: SocketAddr,
    /// Its name; `None` when only the address is known: then any aggregator of that CA will do.
    pub server_name: Option<&'a str>,
    /// Whom to trust; `None`: the CA whose fingerprint stands in the token.
    pub anchor: Option<Anchor>,
    /// The token as it was printed.
    pub token: &'a Token,
    /// Our name.
    pub name: &'a str,
    /// What we want to be; a token for another role is not used up by us.
    pub role: Role,
}

/// Enrols a host: makes a key, has it certified and writes the identity into `dir`.
///
/// # Errors
/// [`EnrolError`]. Nothing is written unless all went well.
pub async fn enrol(asked: &Enrolment<'_>, dir: &Path) -> Result<Identity, EnrolError> {
    let link = |source| EnrolError::Link { addr: asked.addr, source };
    let fresh = new_key_and_csr(asked.name)?;
    // A token is used up by the answer: what cannot be stored is not asked for.
    Identity::try_write(dir)?;
    let tuning = Tuning::agent();
    let after = tuning.dial_timeout;
    let answer = tokio::time::timeout(after, request(asked, fresh.csr, &tuning)).await;
    let answer = answer
        .map_err(|_| link(LinkError::Timeout { what: "answer to an enrolment", after }))?
        .map_err(link)?;
    let (chain, roots) = match answer {
        Answer::Granted { chain, roots } => (plain(chain)?, plain(roots)?),
        Answer::Refused { why } => {
            let name = asked.name.to_owned();
            return Err(EnrolError::Refused { name, why: printable(&why) });
        }
    };
    let fresh = Fresh { key_pem: &fresh.key_pem, chain: &chain, roots: &roots };
    Identity::install(dir, &fresh)?;
    Ok(Identity::load(dir)?)
}

async fn request(
    asked: &Enrolment<'_>,
    csr: Vec<u8>,
    tuning: &Tuning,
) -> Result<Answer, LinkError> {
    let seen = Seen::default();
    let anchor = asked.anchor.clone().unwrap_or(Anchor::Pin(asked.token.ca));
    let named = asked.server_name.is_some();
    let verifier = Arc::new(FirstTrust { anchor, named, seen: seen.clone() });
    let config = quic_config(tls::bare_client_config(verifier, ALPN_ENROL)?, tuning);
    let (endpoint, _) = open_endpoint(tuning)?;
    // TLS wants a name in any case; the verifier does not look at this one.
    let name = asked.server_name.unwrap_or("aggregator.invalid");
    let quic = connect(&endpoint, config, asked.addr, name, &seen).await?;
    let peer = peer_of(&quic)?;
    if peer.role != Role::Aggregator {
        quic.close(Close::WrongRole.code(), b"an aggregator was dialled");
        let wanted = Role::Aggregator;
        return Err(LinkError::WrongRole { name: peer.name, role: peer.role, wanted });
    }
    let (mut send, mut recv) = quic.open_bi().await?;
    let request = Request {
        version: VERSION,
        token: asked.token.secret.clone(),
        name: asked.name.to_owned(),
        role: asked.role.name().to_owned(),
        csr,
    };
    let framed = cbor::encode_framed(&request, "an enrolment", CONTROL_BYTES_MAX)?;
    send.write_chunk(Bytes::from(framed)).await?;
    let _ = send.finish();
    let answer = read_message(&mut recv).await?;
    say_goodbye(&endpoint, Close::Normal, "").await;
    Ok(answer)
}

fn plain(certificates: Vec<ByteBuf>) -> Result<Vec<Vec<u8>>, EnrolError> {
    if certificates.is_empty() || certificates.len() > CERTIFICATES_MAX {
        return Err(EnrolError::Answer("it holds no certificates, or too many"));
    }
    Ok(certificates.into_iter().map(ByteBuf::into_vec).collect())
}

async fn read_message<T: serde::de::DeserializeOwned>(
    recv: &mut RecvStream,
) -> Result<T, LinkError> {
    let framed = match recv.read_to_end(4 + CONTROL_BYTES_MAX).await {
        Ok(framed) => framed,
        Err(quinn::ReadToEndError::Read(error)) => return Err(error.into()),
        Err(quinn::ReadToEndError::TooLong) => {
            return Err(LinkError::protocol("an enrolment message is over its limit"));
        }
    };
    match framed.split_first_chunk() {
        Some((word, body)) if u32::from_le_bytes(*word) as usize == body.len() => cbor::parse(body),
        _ => Err(LinkError::protocol("an enrolment message has the wrong length")),
    }
}

/// A host that asks for a certificate. Dropping it closes the connection without an answer.
pub struct EnrolRequest {
    /// The random part of the token, for [`crate::ca::Ca::use_token`].
    pub token: String,
    /// The name that the host wants.
    pub name: String,
    /// What it wants to be.
    pub role: Role,
    /// PKCS#10 request, DER. Only its public key counts.
    pub csr: Vec<u8>,
    /// Where it comes from.
    pub remote: SocketAddr,
    send: SendStream,
    quic: quinn::Connection,
    store: Arc<IdentityStore>,
}

impl EnrolRequest {
    pub(crate) async fn read(
        quic: quinn::Connection,
        store: &Arc<IdentityStore>,
    ) -> Result<EnrolRequest, LinkError> {
        let (send, mut recv) = quic.accept_bi().await?;
        let asked: Request = read_message(&mut recv).await.inspect_err(|error| {
            quic.close(Close::Protocol.code(), error.to_string().as_bytes());
        })?;
        if asked.version != VERSION || asked.name.len() > NAME_BYTES_MAX {
            quic.close(Close::Protocol.code(), b"an enrolment of an unknown version");
            return Err(LinkError::protocol("an enrolment of an unknown version"));
        }
        let Ok(role) = asked.role.parse() else {
            quic.close(Close::Protocol.code(), b"an enrolment for an unknown role");
            return Err(LinkError::protocol("an enrolment for an unknown role"));
        };
        let remote = canonical(quic.remote_address());
        let Request { token, name, csr, .. } = asked;
        Ok(EnrolRequest { token, name, role, csr, remote, send, quic, store: store.clone() })
    }

    /// Sends the certificate chain, leaf first, DER, together with the CAs that we trust.
    ///
    /// # Errors
    /// The connection's end; the host then has no certificate and the token may be used up.
    pub async fn grant(self, chain: Vec<Vec<u8>>) -> Result<(), LinkError> {
        let identity = self.store.identity();
        let roots = identity.roots().map(|der| ByteBuf::from(der.to_vec())).collect();
        let chain = chain.into_iter().map(ByteBuf::from).collect();
        self.answer(&Answer::Granted { chain, roots }).await
    }

    /// Says no, and why.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn refuse(self, why: &str) -> Result<(), LinkError> {
        self.answer(&Answer::Refused { why: why.to_owned() }).await
    }

    async fn answer(mut self, answer: &Answer) -> Result<(), LinkError> {
        let framed = cbor::encode_framed(answer, "an enrolment answer", CONTROL_BYTES_MAX)?;
        self.send.write_chunk(Bytes::from(framed)).await?;
        let _ = self.send.finish();
        // The client closes when it has read the answer; closing earlier could lose it.
        match tokio::time::timeout(ANSWER_TIMEOUT, self.quic.closed()).await {
            Ok(_) => Ok(()),
            Err(_) => {
                self.quic.close(Close::Normal.code(), b"");
                Err(LinkError::Timeout { what: "end of an enrolment", after: ANSWER_TIMEOUT })
            }
        }
    }
}

impl std::fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EnrolRequest({} from {})", self.name, self.remote)
    }
}

/// Trusts the server by a CA that is known beforehand.
struct FirstTrust {
    anchor: Anchor,
    named: bool,
    seen: Seen,
}

impl std::fmt::Debug for FirstTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FirstTrust")
    }
}

impl FirstTrust {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        match &self.anchor {
            Anchor::Roots(ders) => roots.add_parsable_certificates(ders.iter().cloned()),
            // The aggregator shows its CA behind its own certificate, so that it can be recognised.
            Anchor::Pin(pin) => {
                let pinned = others.iter().find(|other| crypto::sha256(other) == *pin);
                let pinned = pinned.ok_or_else(|| {
                    let _ = self.seen.set(CertFault::NotTheToken);
                    CertificateError::UnknownIssuer
                })?;
                roots.add_parsable_certificates([pinned.clone().into_owned()])
            }
        };
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = crypto::provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, others, now, algorithms.all)?;
        if self.named { verify_server_name(&parsed, name) } else { Ok(()) }
    }
}

impl ServerCertVerifier for FirstTrust {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(leaf, others, name, now).inspect_err(|error| {
            let _ = self.seen.set(CertFault::from_rustls(error));
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = crypto::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = crypto::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto::provider().signature_verification_algorithms.supported_schemes()
    }
}
