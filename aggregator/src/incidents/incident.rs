//! What an incident is: its scope, its kind, its id, and what is kept of it.

use std::fmt;
use std::str::FromStr;

use muster_proto::clock::Utc;
use muster_proto::verdict::Urgency;
use serde::{Deserialize, Serialize};

/// Hosts that an incident lists by name; all are counted.
pub const HOSTS_LISTED_MAX: usize = 1_000;
/// Lines of evidence of one incident.
pub const EVIDENCE_MAX: usize = 16;

/// What an incident is about: the deepest common node of what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// A datacenter.
    Site(String),
    /// An aggregator or a datacenter that hears nobody else.
    Cut(String),
    /// Between two datacenters or two aggregators, in the order of their names.
    Path(String, String),
    /// One aggregator.
    Aggregator(String),
    /// One host.
    Host(String),
}

/// What it is, as far as it can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Nothing of a datacenter is heard by anybody who is heard.
    SiteLost,
    /// Nothing of a datacenter is heard here, and there is nobody to ask whether it is the path.
    SiteUnreachable,
    /// We hear nobody: we are cut off, or all the others are gone.
    Isolated,
    /// An aggregator, or all of a datacenter, is silent; its hosts are heard elsewhere.
    AggregatorOutage,
    /// Two that are both alive do not hear each other.
    Path,
    /// Many hosts of a datacenter are lost while its aggregators are heard.
    HostsLost,
    /// One host is lost.
    HostLost,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What it is about.
    pub scope: Scope,
    /// What it is.
    pub kind: Kind,
    /// When the trouble began: the last sign of life before it, by the clock of who saw it first.
    pub since: Utc,
    /// The last sign of life before it by our own clock; one that is later ends it.
    pub seen: Utc,
    /// When it was over; `None` while it is open.
    pub until: Option<Utc>,
    /// One sentence.
    pub verdict: String,
    /// Who should hear of it.
    pub urgency: Urgency,
    /// Hosts that it takes away.
    pub hosts: u64,
    /// Their names, at most `HOSTS_LISTED_MAX`, sorted.
    pub listed: Vec<String>,
    /// Hosts of the scope that are still reachable.
    pub exceptions: u64,
    /// Their names, at most `HOSTS_LISTED_MAX`, sorted.
    pub exceptions_listed: Vec<String>,
    /// Who heard what last when, in words; at most `EVIDENCE_MAX`.
    pub evidence: Vec<String>,
    /// How often it came back soon after it was over.
    pub returns: u32,
    /// Id of the larger incident that it turned out to be part of.
    pub part_of: Option<String>,
}

impl Kind {
    /// All kinds, the worst first.
    pub const ALL: [Kind; 7] = [
        Kind::SiteLost,
        Kind::SiteUnreachable,
        Kind::Isolated,
        Kind::AggregatorOutage,
        Kind::Path,
        Kind::HostsLost,
        Kind::HostLost,
    ];

    /// Its word in tables, JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::SiteLost => "site-lost",
            Kind::SiteUnreachable => "site-unreachable",
            Kind::Isolated => "isolated",
            Kind::AggregatorOutage => "aggregator-outage",
            Kind::Path => "path",
            Kind::HostsLost => "hosts-lost",
            Kind::HostLost => "host-lost",
        }
    }
}

impl Scope {
    /// The path between two, in the order of their names.
    pub fn path(a: &str, b: &str) -> Scope {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        Scope::Path(a.to_owned(), b.to_owned())
    }

    /// The id of an incident of this scope: equal at every aggregator that knows its scope and beginning.
    pub fn id(&self, since: Utc) -> String {
        format!("{:010x}", fnv1a(format!("{self}@{}", since.0).as_bytes()) >> 24)
    }
}

impl Incident {
    /// Its id; see [`Scope::id`].
    pub fn id(&self) -> String {
        self.scope.id(self.since)
    }
}

/// FNV-1a, 64 bits. Ids need to spread, not to resist.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Site(site) => write!(f, "site {site}"),
            Scope::Cut(here) => write!(f, "cut {here}"),
            Scope::Path(a, b) => write!(f, "path {a} {b}"),
            Scope::Aggregator(name) => write!(f, "aggregator {name}"),
            Scope::Host(name) => write!(f, "host {name}"),
        }
    }
}

/// The text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is `site NAME`, `cut NAME`, `path NAME NAME`, `aggregator NAME` or `host NAME`")]
pub struct NotAScope;

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Scope, NotAScope> {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["site", name] => Ok(Scope::Site(name.to_owned())),
            ["cut", name] => Ok(Scope::Cut(name.to_owned())),
            ["path", a, b] => Ok(Scope::path(a, b)),
            ["aggregator", name] => Ok(Scope::Aggregator(name.to_owned())),
            ["host", name] => Ok(Scope::Host(name.to_owned())),
            _ => Err(NotAScope),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_survives_its_text_and_makes_the_same_id_everywhere() {
        for text in ["site codfw", "cut eqiad", "path a b", "aggregator agg1", "host db1"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        assert_eq!("path b a".parse::<Scope>(), "path a b".parse());
        assert!("site".parse::<Scope>().is_err() && "host a b".parse::<Scope>().is_err());
        let id = Scope::Site("codfw".into()).id(Utc(1_795_000_000_000_000));
        assert_eq!(id, "6d82df864c", "ids are for ever");
    }
}
