//! Dials a peer and waits until it has accepted our certificate.
//!
//! Room: `link`.  Used by: the programs (agent's uplink, aggregator's peers).
//! Absent on purpose: retries, racing and backoff; the uplink decides those.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Endpoint, TokioRuntime};
use rustls_pki_types::CertificateDer;

use crate::connection::{Connection, Side};
use crate::error::{CertFault, Close, LinkError};
use crate::peer::{Peer, Role};
use crate::socket::{self, Granted};
use crate::store::IdentityStore;
use crate::tls::{self, Seen};
use crate::tuning::Tuning;

/// The admission byte: see `connection`.
pub(crate) const ADMITTED: u8 = 1;

/// Dials peers from one UDP socket. Make one for a program and keep it.
pub struct Dialer {
    endpoint: Endpoint,
    store: Arc<IdentityStore>,
    tuning: Tuning,
    granted: Granted,
}

impl Dialer {
    /// Opens the socket. Must be called inside a tokio runtime, which then drives it.
    ///
    /// # Errors
    /// [`LinkError::Socket`].
    pub fn new(store: Arc<IdentityStore>, tuning: Tuning) -> Result<Dialer, LinkError> {
        let (endpoint, granted) = open_endpoint(&tuning)?;
        Ok(Dialer { endpoint, store, tuning, granted })
    }

    /// Another identity on the same socket: many simulated agents need not have a socket each.
    #[must_use]
    pub fn with_identity(&self, store: Arc<IdentityStore>) -> Dialer {
        let (endpoint, tuning) = (self.endpoint.clone(), self.tuning.clone());
        Dialer { endpoint, store, tuning, granted: self.granted }
    }

    /// Dials the aggregator `server_name` at `addr`, with the identity that is in use now.
    ///
    /// Returns when the aggregator has accepted our certificate: two round trips. Cancel safe.
    ///
    /// # Errors
    /// Every [`LinkError`] of a handshake, seen from this side; [`LinkError::Timeout`] after
    /// `dial_timeout`; [`LinkError::WrongRole`] when the peer is no aggregator.
    pub async fn dial(&self, addr: SocketAddr, server_name: &str) -> Result<Connection, LinkError> {
        let after = self.tuning.dial_timeout;
        match tokio::time::timeout(after, self.handshake(addr, server_name)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(LinkError::Timeout { what: "answer to a dial", after }),
        }
    }

    /// What the kernel granted of the socket's buffers.
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// Where the socket is bound.
    ///
    /// # Errors
    /// [`LinkError::Socket`].
    pub fn local_addr(&self) -> Result<SocketAddr, LinkError> {
        let addr = SocketAddr::from(([0, 0, 0, 0], 0));
        self.endpoint.local_addr().map_err(|source| LinkError::Socket { addr, source })
    }

    /// Closes every connection of this dialler and gives the peers a moment to hear it.
    pub async fn close(&self, close: Close, reason: &str) {
        say_goodbye(&self.endpoint, close, reason).await;
    }

    async fn handshake(&self, addr: SocketAddr, name: &str) -> Result<Connection, LinkError> {
        let seen = Seen::default();
        let tls = tls::client_config(&self.store, seen.clone())?;
        let config = quic_config(tls, &self.tuning);
        let quic = connect(&self.endpoint, config, addr, name, &seen).await?;
        let peer = peer_of(&quic)?;
        if peer.role != Role::Aggregator {
            quic.close(Close::WrongRole.code(), b"an aggregator was dialled");
            let wanted = Role::Aggregator;
            return Err(LinkError::WrongRole { name: peer.name, role: peer.role, wanted });
        }
        let connection = Connection::adopt(&self.store, quic, peer, Side::Dialler);
        let control = connection.0.quic.open_bi().await?;
        await_admission(&connection).await?;
        connection.keep_control(control);
        if self.store.identity().role() == Role::Aggregator {
            connection.allow_asks(self.tuning.ask_streams);
        }
        Ok(connection)
    }
}

/// The words go out at once. Then a connection lingers for three probe timeouts (RFC 9000 §10.2), in case
/// they were lost; to a peer that is dead that is most of a minute, which nobody has.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

pub(crate) async fn say_goodbye(endpoint: &Endpoint, close: Close, reason: &str) {
    endpoint.close(close.code(), reason.as_bytes());
    let _ = tokio::time::timeout(GOODBYE_MAX, endpoint.wait_idle()).await;
}

pub(crate) fn open_endpoint(tuning: &Tuning) -> Result<(Endpoint, Granted), LinkError> {
    let (socket, granted) = socket::dialling(tuning)?;
    let addr = SocketAddr::from(([0, 0, 0, 0], 0));
    let endpoint = Endpoint::new(tuning.endpoint(), None, socket, Arc::new(TokioRuntime))
        .map_err(|source| LinkError::Socket { addr, source })?;
    Ok((endpoint, granted))
}

pub(crate) fn quic_config(
    tls: quinn::crypto::rustls::QuicClientConfig,
    tuning: &Tuning,
) -> ClientConfig {
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(tuning.transport());
    // Address tokens would let an observer link the connections of a host.
    config.token_store(Arc::new(quinn::NoneTokenStore));
    config
}

/// The QUIC handshake, with the verifier's own words when it objected.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    config: ClientConfig,
    addr: SocketAddr,
    name: &str,
    seen: &Seen,
) -> Result<quinn::Connection, LinkError> {
    let connecting = endpoint
        .connect_with(config, addr, name)
        .map_err(|source| LinkError::Dial { addr, name: name.to_owned(), source: source.into() })?;
    connecting.await.map_err(|error| explain(error, seen))
}

/// The fault that our verifier noted, or else what the error says.
pub(crate) fn explain(error: quinn::ConnectionError, seen: &Seen) -> LinkError {
    match seen.get() {
        Some(fault) => LinkError::TheirCertificate(fault.clone()),
        None => error.into(),
    }
}

/// Who the verified certificate belongs to. The verifier has read it once already.
pub(crate) fn peer_of(quic: &quinn::Connection) -> Result<Peer, LinkError> {
    let chain =
        quic.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let leaf = chain.as_ref().and_then(|chain| chain.first());
    let leaf = leaf.ok_or(LinkError::TheirCertificate(CertFault::Missing))?;
    Peer::parse(leaf).map_err(|error| LinkError::TheirCertificate(error.into()))
}

async fn await_admission(connection: &Connection) -> Result<(), LinkError> {
    let mut stream = connection.0.quic.accept_uni().await?;
    match stream.read_to_end(1).await {
        Ok(word) if word == [ADMITTED] => Ok(()),
        Ok(_) | Err(quinn::ReadToEndError::TooLong) => {
            Err(LinkError::protocol("the admission of a later version"))
        }
        Err(quinn::ReadToEndError::Read(error)) => Err(error.into()),
    }
}
