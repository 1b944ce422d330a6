//! Who is at the other end: a name and a role, both read from the certificate and nothing else.
//!
//! Room: `link`.  May use: `proto`.  Used by: `identity`, `dial`, `listen`, and the programs.
//!
//! A Muster certificate carries exactly one DNS name (the host) and exactly one URI of the form
//! `muster://ROLE/NAME` with the same name. The subject's common name is a label and is not read.

use std::fmt;
use std::str::FromStr;

use muster_proto::clock::Utc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What the holder of a certificate may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A host that is watched.
    Agent,
    /// A program that takes frames in.
    Aggregator,
    /// A human or a tool that asks questions.
    Admin,
}

impl Role {
    /// The role's word in certificates and lists.
    pub fn name(self) -> &'static str {
        match self {
            Role::Agent => "agent",
            Role::Aggregator => "aggregator",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The word is not a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is one of agent, aggregator, admin")]
pub struct NotARole;

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(word: &str) -> Result<Role, NotARole> {
        [Role::Agent, Role::Aggregator, Role::Admin]
            .into_iter()
            .find(|role| role.name() == word)
            .ok_or(NotARole)
    }
}

/// The holder of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its DNS name.
    pub name: String,
    /// What it may be.
    pub role: Role,
    /// Serial number of the certificate, big-endian, without leading zeros.
    pub serial: Vec<u8>,
    /// First moment of the certificate.
    pub valid_from: Utc,
    /// Last moment of the certificate.
    pub expires_at: Utc,
}

/// Why a certificate does not say who its holder is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPeer {
    /// Not X.509 at all.
    #[error("it cannot be read as X.509")]
    Unreadable,
    /// No DNS name, or several.
    #[error("it must carry exactly one DNS name and carries {0}")]
    Names(usize),
    /// No `muster://ROLE/NAME`, or several, or for another name.
    #[error("it must carry exactly one URI muster://ROLE/{name}")]
    Uri {
        /// The DNS name it does carry.
        name: String,
    },
}

impl Peer {
    /// Reads the holder from a leaf certificate. Does not verify it.
    ///
    /// # Errors
    /// [`NotAPeer`].
    pub fn parse(der: &[u8]) -> Result<Peer, NotAPeer> {
        let (_, leaf) = X509Certificate::from_der(der).map_err(|_| NotAPeer::Unreadable)?;
        let names = leaf.subject_alternative_name().map_err(|_| NotAPeer::Unreadable)?;
        let names = names.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
        let mut dns = Vec::new();
        let mut uris = Vec::new();
        for name in names {
            match name {
                GeneralName::DNSName(name) => dns.push(*name),
                GeneralName::URI(uri) => uris.push(*uri),
                _ => {}
            }
        }
        let [name] = dns[..] else { return Err(NotAPeer::Names(dns.len())) };
        let role = match uris[..] {
            [uri] => parse_uri(uri, name),
            _ => None,
        };
        Ok(Peer {
            name: name.to_owned(),
            role: role.ok_or_else(|| NotAPeer::Uri { name: name.to_owned() })?,
            serial: bare_serial(leaf.raw_serial()).to_vec(),
            valid_from: seconds(leaf.validity().not_before.timestamp()),
            expires_at: seconds(leaf.validity().not_after.timestamp()),
        })
    }

    /// The URI that a certificate of this role and name carries.
    pub fn uri(role: Role, name: &str) -> String {
        format!("muster://{role}/{name}")
    }
}

fn parse_uri(uri: &str, name: &str) -> Option<Role> {
    let (role, of) = uri.strip_prefix("muster://")?.split_once('/')?;
    (of == name).then(|| role.parse().ok())?
}

/// A serial number without the leading zeros that DER needs and other tools leave out.
pub(crate) fn bare_serial(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

pub(crate) fn seconds(unix_s: i64) -> Utc {
    Utc(unix_s.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sans: &[&str], expected: &str) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        for san in sans {
            let text = (*san).try_into().unwrap();
            params.subject_alt_names.push(if san.contains("://") {
                rcgen::SanType::URI(text)
            } else {
                rcgen::SanType::DnsName(text)
            });
        }
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x80, 1]));
        let der = params.self_signed(&key).unwrap();
        let found = match Peer::parse(der.der()) {
            Ok(peer) => format!("{} {} {:02x?}", peer.role, peer.name, peer.serial),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn names_and_roles_come_from_the_alternative_names() {
        check(
            &["db1.example.org", "muster://agent/db1.example.org"],
            "agent db1.example.org [80, 01]",
        );
        check(&["a.example", "muster://aggregator/a.example"], "aggregator a.example [80, 01]");
        check(&["muster://agent/db1"], "it must carry exactly one DNS name and carries 0");
        check(&["a", "b", "muster://agent/a"], "it must carry exactly one DNS name and carries 2");
        check(&["a"], "it must carry exactly one URI muster://ROLE/a");
        check(&["a", "muster://agent/b"], "it must carry exactly one URI muster://ROLE/a");
        check(&["a", "muster://root/a"], "it must carry exactly one URI muster://ROLE/a");
        check(
            &["a", "muster://agent/a", "muster://admin/a"],
            "it must carry exactly one URI muster://ROLE/a",
        );
    }

    #[test]
    fn noise_is_not_a_peer() {
        let mut random = fastrand::Rng::with_seed(7);
        for len in 0..200 {
            let noise: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
            assert_eq!(Peer::parse(&noise), Err(NotAPeer::Unreadable));
        }
    }
}
