//! What goes wrong on a link, told so that an operator knows which side to look at.
//!
//! Room: `link`.  Used by: everybody.
//!
//! Both sides of a failed handshake get their own sentence: the one that objects knows why; the one
//! that is objected to learns it from the TLS alert or from our close code.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::frame::FrameError;
use quinn::{ConnectionError, TransportErrorCode, VarInt};
use rustls::CertificateError;

use crate::peer::{NotAPeer, Role};

/// What is wrong with a certificate. Reads as the end of a sentence that begins with "certificate: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertFault {
    /// The chain does not end at a CA that is trusted.
    #[error("it is not signed by a trusted CA")]
    UnknownIssuer,
    /// By a CA that was trusted once.
    #[error("it is by a certificate authority that was retired: enrol again")]
    Retired,
    /// Not by the CA whose fingerprint stands in the token.
    #[error(
        "it is not by the certificate authority that the token names: make a new token at the aggregator that has it"
    )]
    NotTheToken,
    /// Too late.
    #[error("it expired{}", at(" at ", *.0))]
    Expired(Option<Utc>),
    /// Too early: often a wrong clock.
    #[error("it is not valid yet{}", at(", only from ", *.0))]
    NotYetValid(Option<Utc>),
    /// In the CRL or in the revocation list.
    #[error("it is revoked")]
    Revoked,
    /// For another name than the one that was dialled.
    #[error("it is for another name{}", names(.presented, .wanted))]
    WrongName {
        /// The name that was dialled; empty when only the other side knows.
        wanted: String,
        /// The names it carries; empty when only the other side knows.
        presented: Vec<String>,
    },
    /// None was shown.
    #[error("there is none, and one is needed")]
    Missing,
    /// A client certificate shown by a server, or the reverse.
    #[error("it is not meant for this side of a connection")]
    Purpose,
    /// It does not say who its holder is.
    #[error("{0}")]
    NotAPeer(#[from] NotAPeer),
    /// Anything else, in the words of the TLS library.
    #[error("{0}")]
    Other(String),
}

fn at(before: &str, moment: Option<Utc>) -> String {
    let moment =
        moment.and_then(|at| time::OffsetDateTime::from_unix_timestamp(at.0 / 1_000_000).ok());
    moment.map_or_else(String::new, |at| {
        let (date, time) = (at.date(), at.time());
        format!("{before}{date} {:02}:{:02} UTC", time.hour(), time.minute())
    })
}

fn names(presented: &[String], wanted: &str) -> String {
    if wanted.is_empty() {
        return String::new();
    }
    format!(": {}, not {wanted}", presented.join(", "))
}

impl CertFault {
    pub(crate) fn from_rustls(error: &rustls::Error) -> CertFault {
        let fault = match error {
            rustls::Error::InvalidCertificate(fault) => fault,
            rustls::Error::NoCertificatesPresented => return CertFault::Missing,
            other => return CertFault::Other(other.to_string()),
        };
        let utc = |at: &rustls_pki_types::UnixTime| {
            Some(crate::peer::seconds(i64::try_from(at.as_secs()).unwrap_or(i64::MAX)))
        };
        match fault {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                CertFault::UnknownIssuer
            }
            CertificateError::Expired => CertFault::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => {
                CertFault::Expired(utc(not_after))
            }
            CertificateError::NotValidYet => CertFault::NotYetValid(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                CertFault::NotYetValid(utc(not_before))
            }
            CertificateError::Revoked => CertFault::Revoked,
            CertificateError::NotValidForNameContext { expected, presented } => {
                CertFault::WrongName {
                    wanted: expected.to_str().into_owned(),
                    presented: presented.iter().filter_map(|name| bare_name(name)).collect(),
                }
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                CertFault::Purpose
            }
            other => CertFault::Other(other.to_string()),
        }
    }

    /// What a TLS alert of the peer says about our certificate; `None` when it is about something else.
    ///
    /// # Source
    /// RFC 8446 §6.2. One alert covers "expired" and "not yet valid": the peer's text tells them apart.
    fn from_alert(alert: u64, text: &str) -> Option<CertFault> {
        Some(match alert {
            48 | 51 => CertFault::UnknownIssuer,
            45 if text.contains("not valid yet") => CertFault::NotYetValid(None),
            45 => CertFault::Expired(None),
            44 => CertFault::Revoked,
            46 if text.contains(RETIRED) => CertFault::Retired,
            42 if text.contains("not valid for name") => {
                CertFault::WrongName { wanted: String::new(), presented: Vec::new() }
            }
            43 => CertFault::Purpose,
            116 => CertFault::Missing,
            42 | 46 | 49 => CertFault::Other(format!("the peer says: {}", printable(text))),
            _ => return None,
        })
    }
}

/// What the peer reads of [`RetiredAuthority`]: TLS has no alert for it.
const RETIRED: &str = "certificate authority was retired";

/// What the verifier says to TLS about a certificate of a retired authority.
pub(crate) struct RetiredAuthority;

impl std::fmt::Debug for RetiredAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(RETIRED)
    }
}

impl std::fmt::Display for RetiredAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(RETIRED)
    }
}

impl std::error::Error for RetiredAuthority {}

/// rustls writes a presented name as `DnsName("a.example")`; other kinds of names are left out.
fn bare_name(shown: &str) -> Option<String> {
    Some(shown.strip_prefix("DnsName(\"")?.strip_suffix("\")")?.to_owned())
}

/// Why a connection is closed on purpose. The number is the QUIC application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Close {
    /// All is said.
    Normal = 0,
    /// The closer goes away; come back later or go to another one.
    Drain = 1,
    /// Not wanted here now: too many, or not admitted.
    Refused = 2,
    /// The peer's certificate was revoked.
    Revoked = 3,
    /// The peer broke a rule of the conversation.
    Protocol = 4,
    /// The peer showed no certificate.
    NoCertificate = 5,
    /// The peer's role has no business here.
    WrongRole = 6,
    /// A newer connection of the same peer takes over.
    Replaced = 7,
    /// The closer failed inside.
    Internal = 8,
    /// A code of a later version.
    Unknown = 9,
}

impl Close {
    /// The code's word in logs and counters.
    pub fn name(self) -> &'static str {
        match self {
            Close::Normal => "normal",
            Close::Drain => "drain",
            Close::Refused => "refused",
            Close::Revoked => "revoked",
            Close::Protocol => "protocol",
            Close::NoCertificate => "no-certificate",
            Close::WrongRole => "wrong-role",
            Close::Replaced => "replaced",
            Close::Internal => "internal",
            Close::Unknown => "unknown",
        }
    }

    pub(crate) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    fn from_code(code: u64) -> Close {
        const ALL: [Close; 9] = [
            Close::Normal,
            Close::Drain,
            Close::Refused,
            Close::Revoked,
            Close::Protocol,
            Close::NoCertificate,
            Close::WrongRole,
            Close::Replaced,
            Close::Internal,
        ];
        ALL.into_iter().find(|close| *close as u64 == code).unwrap_or(Close::Unknown)
    }
}

impl std::fmt::Display for Close {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What goes wrong on a link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A socket cannot be opened or bound.
    #[error("cannot open a UDP socket on {addr}")]
    Socket {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Our own TLS settings are refused by the library.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The address or the name cannot be dialled at all.
    #[error("cannot dial {name} at {addr}")]
    Dial {
        /// Where.
        addr: SocketAddr,
        /// Whom.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing came in time.
    #[error("no {what} within {} ms", after.as_millis())]
    Timeout {
        /// What was awaited.
        what: &'static str,
        /// For how long.
        after: Duration,
    },
    /// We do not accept the peer's certificate.
    #[error("we refuse the peer's certificate: {0}")]
    TheirCertificate(CertFault),
    /// The peer does not accept ours.
    #[error("the peer refuses our certificate: {0}")]
    OurCertificate(CertFault),
    /// The certificate is good and its holder is not what we came for.
    #[error("{name} is an {role}, not an {wanted}")]
    WrongRole {
        /// Who.
        name: String,
        /// What it is.
        role: Role,
        /// What was wanted.
        wanted: Role,
    },
    /// No common protocol in the TLS handshake.
    #[error("the two sides have no protocol in common; this one speaks muster/1")]
    Alpn,
    /// The peer takes no new connection at the moment.
    #[error("the peer refuses new connections at the moment")]
    Refused,
    /// The peer closed the connection and said why.
    #[error("the peer closed the connection ({close}): {reason}")]
    Closed {
        /// The code.
        close: Close,
        /// Its words, made printable.
        reason: String,
    },
    /// The peer does not know this connection: it was restarted.
    #[error("the peer was restarted and does not know this connection")]
    Reset,
    /// Nothing was heard for the idle time.
    #[error("the connection is lost: nothing heard from the peer")]
    Lost,
    /// We closed it.
    #[error("the connection was closed on this side")]
    ClosedHere,
    /// The TLS handshake failed for a reason that is not a certificate.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// The peer broke a rule of QUIC or of the conversation.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// The peer sent something that is not a frame.
    #[error("the peer sent a bad frame")]
    Frame(#[from] FrameError),
    /// The other side abandoned this one stream; the connection goes on.
    #[error("the peer abandoned the stream ({0})")]
    StreamAbandoned(Close),
    /// A message of ours is longer than the conversation allows.
    #[error("{what} has {len} bytes, over the limit of {limit}")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its length.
        len: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A message of ours cannot be written as CBOR.
    #[error("cannot encode a message")]
    Encode(#[source] serde_cbor::Error),
}

impl LinkError {
    /// A word for counters: the kind of trouble, from a short fixed list.
    pub fn kind(&self) -> &'static str {
        match self {
            LinkError::Socket { .. } => "socket",
            LinkError::Tls(_) | LinkError::Handshake(_) => "tls",
            LinkError::Dial { .. } => "dial",
            LinkError::Timeout { .. } => "timeout",
            LinkError::TheirCertificate(_) => "their-certificate",
            LinkError::OurCertificate(_) => "our-certificate",
            LinkError::WrongRole { .. } => "wrong-role",
            LinkError::Alpn => "alpn",
            LinkError::Refused => "refused",
            LinkError::Closed { .. } | LinkError::ClosedHere => "closed",
            LinkError::Reset => "reset",
            LinkError::Lost => "lost",
            LinkError::Protocol(_) | LinkError::Frame(_) => "protocol",
            LinkError::StreamAbandoned(_) => "stream",
            LinkError::TooLong { .. } | LinkError::Encode(_) => "message",
        }
    }

    pub(crate) fn protocol(what: impl Into<String>) -> LinkError {
        LinkError::Protocol(what.into())
    }
}

impl From<ConnectionError> for LinkError {
    fn from(error: ConnectionError) -> LinkError {
        match error {
            ConnectionError::TransportError(fault) => {
                from_transport(u64::from(fault.code), &fault.reason, true)
            }
            ConnectionError::ConnectionClosed(close) => {
                let text = String::from_utf8_lossy(&close.reason);
                from_transport(u64::from(close.error_code), &text, false)
            }
            ConnectionError::ApplicationClosed(close) => {
                match Close::from_code(close.error_code.into_inner()) {
                    Close::Revoked => LinkError::OurCertificate(CertFault::Revoked),
                    Close::NoCertificate => LinkError::OurCertificate(CertFault::Missing),
                    code => LinkError::Closed {
                        close: code,
                        reason: printable(&String::from_utf8_lossy(&close.reason)),
                    },
                }
            }
            ConnectionError::Reset => LinkError::Reset,
            ConnectionError::TimedOut => LinkError::Lost,
            ConnectionError::LocallyClosed => LinkError::ClosedHere,
            ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => {
                LinkError::protocol(error.to_string())
            }
        }
    }
}

fn from_transport(code: u64, text: &str, ours: bool) -> LinkError {
    const NO_APPLICATION_PROTOCOL: u64 = 120;
    if code == u64::from(TransportErrorCode::CONNECTION_REFUSED) {
        return LinkError::Refused;
    }
    // RFC 9001 §4.8: 0x0100 to 0x01ff are the TLS alerts.
    let Some(alert) = code.checked_sub(0x100).filter(|alert| *alert <= 0xff) else {
        return LinkError::protocol(printable(text));
    };
    if alert == NO_APPLICATION_PROTOCOL {
        return LinkError::Alpn;
    }
    match CertFault::from_alert(alert, text) {
        Some(fault) if !ours => LinkError::OurCertificate(fault),
        _ => LinkError::Handshake(printable(text)),
    }
}

impl From<quinn::ReadError> for LinkError {
    fn from(error: quinn::ReadError) -> LinkError {
        match error {
            quinn::ReadError::ConnectionLost(error) => error.into(),
            quinn::ReadError::Reset(code) => {
                LinkError::StreamAbandoned(Close::from_code(code.into_inner()))
            }
            other => LinkError::protocol(other.to_string()),
        }
    }
}

impl From<quinn::WriteError> for LinkError {
    fn from(error: quinn::WriteError) -> LinkError {
        match error {
            quinn::WriteError::ConnectionLost(error) => error.into(),
            quinn::WriteError::Stopped(code) => {
                LinkError::StreamAbandoned(Close::from_code(code.into_inner()))
            }
            other => LinkError::protocol(other.to_string()),
        }
    }
}

/// Text of a peer for our logs: one line, no control characters, at most 200 of them.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_go_there_and_back_and_later_ones_are_unknown() {
        for code in 0..9 {
            assert_eq!(Close::from_code(code) as u64, code);
        }
        assert_eq!(Close::from_code(9), Close::Unknown);
        assert_eq!(Close::from_code(u64::MAX), Close::Unknown);
    }

    #[test]
    fn a_peers_words_cannot_forge_a_log_line() {
        assert_eq!(printable("a\nb\u{1b}[2J"), "a\u{fffd}b\u{fffd}[2J");
        assert_eq!(printable(&"x".repeat(10_000)).len(), 200);
    }
}
