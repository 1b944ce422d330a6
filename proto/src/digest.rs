//! Liveness digests: what one aggregator tells another about hosts, aggregators and incidents.
//!
//! The asker pulls: a [`DigestAsk`] names the edition that it has, the answer brings what changed since, or
//! everything. An idle fleet costs a few hundred bytes an answer, however many hosts there are.
//!
//! ```text
//! answer   0    4  magic   "MDIG"
//!          4    2  version u16 le, now 1
//!          6    4  raw_len u32 le, bytes of the CBOR, at most DIGEST_RAW_BYTES_MAX
//!         10    -  one zstd frame of the CBOR of a Digest
//! ```
//! In the CBOR, fields and variants are numbered in the order below (packed): new ones are only appended.
//! Every time in a digest is by the clock of whoever sends it; `now` beside them makes them spans for the
//! receiver, so that two clocks never need to agree.

use serde::{Deserialize, Serialize};

use crate::cbor;
use crate::clock::Utc;
use crate::limits::CBOR_DEPTH_MAX;

/// Version of the digests, in question and answer. Raised when a field changes its meaning.
pub const DIGEST_VERSION: u16 = 1;
/// A digest before compression. Bytes. [`DIGEST_LEASES_MAX`] leases of long names fit.
pub const DIGEST_RAW_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Leases of one digest, and names that are gone.
pub const DIGEST_LEASES_MAX: usize = 65_536;
/// Aggregators that one aggregator speaks of.
pub const DIGEST_HEARINGS_MAX: usize = 256;
/// Incidents that one aggregator names.
pub const DIGEST_OPEN_MAX: usize = 256;
/// A name in a digest: host, datacenter, aggregator, reason. Bytes (a DNS name has at most 253).
pub const DIGEST_NAME_BYTES_MAX: usize = 255;
/// A scope in a digest: a word and two names. Bytes.
pub const DIGEST_SCOPE_BYTES_MAX: usize = 3 * DIGEST_NAME_BYTES_MAX;

const MAGIC: &[u8; 4] = b"MDIG";
const HEAD_BYTES: usize = 10;
/// zstd level: names compress well at any.
const ZSTD_LEVEL: i32 = 1;

/// Which state of an aggregator's book a digest tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Edition {
    /// Which run of the aggregator: microseconds since 1970 when it started, by its own clock.
    pub life: i64,
    /// How many changes there were in this run.
    pub change: u64,
}

/// "What do you know of this aggregator's hosts?"
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestAsk {
    /// [`DIGEST_VERSION`] of the asker.
    pub version: u16,
    /// Whose hosts: the one that is asked, or one that the asker does not hear itself.
    pub of: String,
    /// Comes back in the answer, so that an old answer is not taken for a sign of life.
    pub number: u64,
    /// What the asker has; `None`: tell everything.
    pub known: Option<Edition>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    /// Whose hosts.
    pub of: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Number of the question.
    pub number: u64,
    /// What the receiver has after this.
    pub edition: Edition,
    /// What it must have had before; `None`: this is everything.
    pub base: Option<Edition>,
    /// The sender's clock.
    pub now: Utc,
    /// When `of` itself said this; `now` when it is the sender.
    pub said_at: Utc,
    /// Hosts that changed, or all.
    pub leases: Vec<Lease>,
    /// Hosts that it no longer speaks for: another aggregator has them, or they are decommissioned.
    pub gone: Vec<String>,
    /// Which aggregators `of` hears.
    pub hears: Vec<Hearing>,
    /// Which incidents `of` sees open.
    pub open: Vec<Opened>,
}

/// One host, as the aggregator that hears it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name.
    pub host: String,
    /// Datacenter it stands in.
    pub datacenter: String,
    /// Which of its connections: the newest wins.
    pub rank: Rank,
    /// Whether that connection is open.
    pub connected: bool,
    /// When the connection was opened or ended.
    pub since: Utc,
    /// Last sign of life when this was written. While the standing is `Live` it is that for ever later word, too.
    pub heard: Utc,
    /// Seconds between its heartbeats.
    pub beat_s: u32,
    /// How it is.
    pub standing: Standing,
    /// What it said when it left, until it is heard of again; empty else. A promise that was not kept is lost, and
    /// this says why it is.
    pub left: String,
}

/// Which of a host's connections is the newest: the host counts itself, so that no clocks are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Rank {
    /// Which run of the agent: microseconds since 1970 when it started, by its own clock. 0 when it did not say.
    pub epoch: u64,
    /// Microseconds from there to the connection, monotonic.
    pub turn: u64,
}

/// How a host is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Standing {
    /// Heard of in time.
    #[default]
    Live,
    /// Two beats silent.
    Late,
    /// Five beats silent.
    Lost,
    /// Left on purpose.
    Departed {
        /// "stop", "reboot", "upgrade", "restart".
        reason: String,
    },
}

/// Whether one aggregator hears another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hearing {
    /// The other one.
    pub peer: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Last answer of it; `None`: never since the speaker started.
    pub heard: Option<Utc>,
    /// Since when it is heard without a break, or not.
    pub since: Utc,
}

/// An incident that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// What it is about, as its id is made of.
    pub scope: String,
    /// When it began; not a span but part of the id, so nobody corrects it by clocks.
    pub since: Utc,
}

/// Why a digest is refused. Nothing of it may be used.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// Not a digest, or of a later version.
    #[error("digest has an unknown beginning or version")]
    Head,
    /// The announced length is over `DIGEST_RAW_BYTES_MAX`, or not what follows.
    #[error("digest cannot be inflated to {announced} bytes")]
    Inflate {
        /// What its head says.
        announced: usize,
        /// What zstd says.
        #[source]
        source: Option<std::io::Error>,
    },
    /// Not the CBOR of a [`Digest`].
    #[error("digest cannot be read")]
    Cbor(#[from] cbor::CborError),
    /// A list or a name is over its limit.
    #[error("{field} of a digest is {value} long, over the limit of {limit}")]
    Limit {
        /// Which.
        field: &'static str,
        /// Entries or bytes.
        value: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// Writes a digest.
///
/// # Errors
/// [`DigestError::Limit`] when it is over a limit: nobody would take it; `Inflate` when memory runs out.
pub fn encode_digest(digest: &Digest) -> Result<Vec<u8>, DigestError> {
    digest.within_limits()?;
    let raw = serde_cbor::ser::to_vec_packed(digest).map_err(cbor::CborError::Encode)?;
    within("whole", raw.len(), DIGEST_RAW_BYTES_MAX)?;
    let body = zstd::bulk::compress(&raw, ZSTD_LEVEL)
        .map_err(|source| DigestError::Inflate { announced: raw.len(), source: Some(source) })?;
    let raw_len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&DIGEST_VERSION.to_le_bytes());
    bytes.extend_from_slice(&raw_len.to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads a digest from another aggregator. Never inflates more than it announces, and never announces more
/// than `DIGEST_RAW_BYTES_MAX`.
///
/// # Errors
/// [`DigestError`].
pub fn parse_digest(bytes: &[u8]) -> Result<Digest, DigestError> {
    let (head, body) = bytes.split_at_checked(HEAD_BYTES).ok_or(DigestError::Head)?;
    let version = u16::from_le_bytes([head[4], head[5]]);
    if &head[..4] != MAGIC || version != DIGEST_VERSION {
        return Err(DigestError::Head);
    }
    let announced = u32::from_le_bytes([head[6], head[7], head[8], head[9]]) as usize;
    if announced > DIGEST_RAW_BYTES_MAX {
        return Err(DigestError::Inflate { announced, source: None });
    }
    let raw = zstd::bulk::decompress(body, announced)
        .map_err(|source| DigestError::Inflate { announced, source: Some(source) })?;
    if raw.len() != announced {
        return Err(DigestError::Inflate { announced, source: None });
    }
    cbor::within_depth(&raw, CBOR_DEPTH_MAX)?;
    let digest: Digest = serde_cbor::from_slice(&raw).map_err(cbor::CborError::Fields)?;
    digest.within_limits()?;
    Ok(digest)
}

impl DigestAsk {
    /// Checks the name and the version.
    pub fn is_fine(&self) -> bool {
        self.version == DIGEST_VERSION && self.of.len() <= DIGEST_NAME_BYTES_MAX
    }
}

impl Digest {
    fn within_limits(&self) -> Result<(), DigestError> {
        within("list of leases", self.leases.len(), DIGEST_LEASES_MAX)?;
        within("list of gone hosts", self.gone.len(), DIGEST_LEASES_MAX)?;
        within("list of aggregators", self.hears.len(), DIGEST_HEARINGS_MAX)?;
        within("list of incidents", self.open.len(), DIGEST_OPEN_MAX)?;
        let names = [&self.of, &self.datacenter].into_iter();
        let leases =
            self.leases.iter().flat_map(|lease| [&lease.host, &lease.datacenter, &lease.left]);
        let hears = self.hears.iter().flat_map(|hearing| [&hearing.peer, &hearing.datacenter]);
        let reasons = self.leases.iter().filter_map(|lease| match &lease.standing {
            Standing::Departed { reason } => Some(reason),
            Standing::Live | Standing::Late | Standing::Lost => None,
        });
        let mut all = names.chain(leases).chain(hears).chain(reasons).chain(&self.gone);
        all.try_for_each(|name| within("name", name.len(), DIGEST_NAME_BYTES_MAX))?;
        let mut scopes = self.open.iter();
        scopes.try_for_each(|open| within("scope", open.scope.len(), DIGEST_SCOPE_BYTES_MAX))
    }
}

fn within(field: &'static str, value: usize, limit: usize) -> Result<(), DigestError> {
    if value > limit {
        return Err(DigestError::Limit { field, value, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        Digest {
            of: "agg1.eqiad".into(),
            datacenter: "eqiad".into(),
            number: 7,
            edition: Edition { life: 5, change: 9 },
            base: Some(Edition { life: 5, change: 8 }),
            now: Utc(1_000),
            said_at: Utc(900),
            leases: vec![Lease {
                host: "db1".into(),
                datacenter: "eqiad".into(),
                rank: Rank { epoch: 3, turn: 4 },
                connected: true,
                since: Utc(1),
                heard: Utc(2),
                beat_s: 30,
                standing: Standing::Departed { reason: "reboot".into() },
                left: "reboot".into(),
            }],
            gone: vec!["db2".into()],
            hears: vec![Hearing {
                peer: "agg1.codfw".into(),
                datacenter: "codfw".into(),
                heard: None,
                since: Utc(3),
            }],
            open: vec![Opened { scope: "site codfw".into(), since: Utc(4) }],
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let said = parse_digest(bytes).map_or_else(|error| error.to_string(), |_| "ok".into());
        assert_eq!(said, expected);
    }

    #[test]
    fn survives_the_way() {
        let bytes = encode_digest(&digest()).unwrap();
        assert_eq!(parse_digest(&bytes).unwrap(), digest());
    }

    #[test]
    fn is_refused_when_it_is_cut_longer_or_lies_about_its_length() {
        let whole = encode_digest(&digest()).unwrap();
        check(&whole, "ok");
        check(&whole[..9], "digest has an unknown beginning or version");
        let mut later = whole.clone();
        later[4] = 2;
        check(&later, "digest has an unknown beginning or version");
        let mut long = whole.clone();
        long[9] = 0x7f;
        let said = parse_digest(&long).unwrap_err();
        assert!(matches!(said, DigestError::Inflate { source: None, .. }), "{said}");
        let mut short = whole.clone();
        short[6] = short[6].wrapping_sub(1);
        assert!(matches!(parse_digest(&short), Err(DigestError::Inflate { .. })));
        for have in HEAD_BYTES..whole.len() {
            assert!(parse_digest(&whole[..have]).is_err(), "{have}");
        }
    }

    #[test]
    fn is_not_written_over_its_limits() {
        let long = Digest { of: "x".repeat(256), ..digest() };
        let said = encode_digest(&long).unwrap_err().to_string();
        assert_eq!(said, "name of a digest is 256 long, over the limit of 255");
        let many = Digest { gone: vec![String::new(); DIGEST_LEASES_MAX + 1], ..digest() };
        let said = encode_digest(&many).unwrap_err().to_string();
        assert_eq!(said, "list of gone hosts of a digest is 65537 long, over the limit of 65536");
    }
}
