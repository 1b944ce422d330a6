//! QUIC and TLS for Muster: dial, listen, identity. The only crate that names quinn or rustls.
