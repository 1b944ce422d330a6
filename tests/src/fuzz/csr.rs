//! A certificate request, as a host sends it to enrol or to renew.

use std::time::Duration;

use muster_link::ca::Wish;
use muster_link::{Peer, Role};

use super::{Target, identity, wrap};

pub(super) const TARGET: Target = Target { rounds: 10_000, ..Target::new("csr", run, seeds) };

fn run(bytes: &[u8]) {
    let wish = Wish {
        csr: bytes,
        name: "db1.example.org",
        role: Role::Agent,
        ttl: Duration::from_secs(3_600),
    };
    // Whatever the request says of names and roles, the certificate says what we were told to certify.
    if let Ok(certified) = identity::made().ca.issue(&wish, wrap::AT) {
        let peer = Peer::parse(&certified.chain[0]).expect("our own certificate");
        assert_eq!((peer.name.as_str(), peer.role), ("db1.example.org", Role::Agent));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    vec![identity::made().csr.clone()]
}
