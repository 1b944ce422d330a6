//! The certificate of whoever is at the other end.

use std::str::FromStr;

use muster_link::{Peer, Role};

use super::{Target, identity};

pub(super) const TARGET: Target =
    Target { rounds: 30_000, ..Target::new("certificate", run, seeds) };

fn run(bytes: &[u8]) {
    if let Ok(peer) = Peer::parse(bytes) {
        assert!(Role::from_str(peer.role.name()).is_ok());
        assert_ne!(peer.serial.first(), Some(&0));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    identity::made().chain.clone()
}
