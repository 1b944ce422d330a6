//! HTTPS: the server's side of TLS over TCP with a program's own certificate.
//!
//! Here because this is the only crate that names a TLS library. Clients show no certificate: who
//! they are is said inside, with a token.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::store::IdentityStore;
use crate::tls;

/// Does one handshake with the certificate that is in use at this moment. TLS 1.3, HTTP/1.1.
///
/// # Errors
/// The certificate cannot be used, or the client does not finish.
pub async fn accept(
    store: Arc<IdentityStore>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let config = tls::web_config(&store).map_err(io::Error::other)?;
    TlsAcceptor::from(Arc::new(config)).accept(stream).await
}
