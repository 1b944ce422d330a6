//! Liveness digests of another aggregator, and what becomes of them in the leases.

use muster_aggregator::incidents::{Incidents, Survey};
use muster_aggregator::roster::leases::Leases;
use muster_proto::clock::Utc;
use muster_proto::digest::{
    Digest, Edition, Hearing, Lease, Opened, Rank, Standing, encode_digest, parse_digest,
};

use super::Target;
use super::wrap::AT;

pub(super) const TARGET: Target = Target { rounds: 40_000, ..Target::new("digest", run, seeds) };

/// The bytes as they are, and as the CBOR behind head and compression.
fn run(bytes: &[u8]) {
    take(bytes);
    if let (Ok(body), Ok(raw_len)) = (zstd::bulk::compress(bytes, 1), u32::try_from(bytes.len())) {
        let mut whole = b"MDIG\x01\0".to_vec();
        whole.extend_from_slice(&raw_len.to_le_bytes());
        whole.extend_from_slice(&body);
        take(&whole);
    }
}

fn take(bytes: &[u8]) {
    let Ok(digest) = parse_digest(bytes) else { return };
    let again = encode_digest(&digest).expect("what was within the limits is");
    assert_eq!(parse_digest(&again).ok().as_ref(), Some(&digest));
    let peers = ["agg2", "agg3"].map(|name| (name.to_owned(), "codfw".to_owned()));
    let mut leases = Leases::new(("agg1", "eqiad"), &peers, AT);
    let mut incidents = Incidents::default();
    for (of, second) in [("agg2", 1), ("agg2", 2), ("agg3", 3)] {
        let now = AT.after(std::time::Duration::from_secs(second * 40));
        let ask = leases.ask("agg2", of, now);
        let said = Digest { of: of.to_owned(), number: ask.number, ..digest.clone() };
        leases.on_digest("agg2", said, now);
        leases.on_tick(now);
        incidents.on_survey(&Survey::take(&leases, &incidents.watched(), now), now);
        leases.answer(&ask, now);
    }
    Incidents::restore(incidents.changes().incidents);
    leases.restore(Vec::new());
}

fn seeds() -> Vec<Vec<u8>> {
    let lease = |host: &str, standing: Standing| Lease {
        host: host.to_owned(),
        datacenter: "codfw".to_owned(),
        rank: Rank { epoch: 1, turn: 2 },
        connected: true,
        since: AT,
        heard: AT,
        beat_s: 30,
        standing,
        left: String::new(),
    };
    let full = Digest {
        of: "agg2".to_owned(),
        datacenter: "codfw".to_owned(),
        number: 1,
        edition: Edition { life: 5, change: 3 },
        now: AT,
        said_at: AT,
        leases: vec![
            lease("db1", Standing::Live),
            lease("db2", Standing::Lost),
            lease("db3", Standing::Departed { reason: "reboot".to_owned() }),
        ],
        hears: vec![Hearing {
            peer: "agg3".to_owned(),
            datacenter: "codfw".to_owned(),
            heard: Some(AT),
            since: Utc(0),
        }],
        open: vec![Opened { scope: "site codfw".to_owned(), since: Utc(1) }],
        ..Digest::default()
    };
    let delta = Digest {
        base: Some(full.edition),
        edition: Edition { life: 5, change: 4 },
        gone: vec!["db1".to_owned()],
        leases: Vec::new(),
        ..full.clone()
    };
    let whole = [&full, &delta, &Digest::default()];
    let mut seeds: Vec<Vec<u8>> =
        whole.iter().filter_map(|digest| encode_digest(digest).ok()).collect();
    seeds.extend(whole.iter().filter_map(|digest| serde_cbor::ser::to_vec_packed(digest).ok()));
    seeds.extend([b"MDIG".to_vec(), b"MDIG\x01\0\xff\xff\xff\xff".to_vec()]);
    seeds
}
