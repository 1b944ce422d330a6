//! A list of certificate authorities, as an aggregator passes it on. Nobody has signed what is made here, so none
//! of it is taken.

use std::sync::LazyLock;
use std::time::Duration;

use muster_link::ca::Ca;
use muster_link::roots::RootsList;

use super::{Target, wrap};

pub(super) const TARGET: Target = Target { rounds: 20_000, ..Target::new("roots", run, seeds) };

fn run(bytes: &[u8]) {
    if let Ok(list) = RootsList::parse(bytes) {
        assert!(!list.issuer().is_empty() && list.roots.len() <= 4, "{list:?}");
    }
}

/// The lists of a whole rollover.
fn seeds() -> Vec<Vec<u8>> {
    static LISTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("room for a CA");
        let mut ca = Ca::init(&folder.path().join("ca"), "Example", wrap::AT).expect("a new CA");
        let spread = Duration::from_secs(3600);
        let mut lists = Vec::new();
        ca.announce(spread, wrap::AT).expect("the first step");
        lists.push(ca.roots().expect("a list"));
        ca.switch(spread, wrap::AT).expect("the second step");
        lists.push(ca.roots().expect("a list"));
        ca.retire(false, wrap::AT).expect("the third step");
        lists.push(ca.roots().expect("a list"));
        lists
    });
    LISTS.clone()
}
