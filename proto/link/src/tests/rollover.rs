//! From one authority to the next: what each step makes, who is let in during it, and what moves nobody.

use super::*;
use crate::ca::{CaError, Stage, Which};
use crate::roots::{self, RootsList, RootsRefused};

const HOUR: Duration = Duration::from_secs(3600);

/// A moment so many seconds after the beginning.
fn at(seconds: i64) -> Utc {
    Utc(T0.0 + seconds * 1_000_000)
}

fn issue(ca: &Ca, name: &str, now: Utc) -> Certified {
    let key = new_key_and_csr(name).unwrap();
    ca.issue(&Wish { csr: &key.csr, name, role: Role::Agent, ttl: HOST_TTL }, now).unwrap()
}

fn judge(trusted: &[&[u8]], held: u64, list: &[u8]) -> String {
    match roots::judge(trusted, held, list) {
        Ok(Some(list)) => format!("taken: {} roots", list.roots.len()),
        Ok(None) => "known".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_steps_follow_one_another_and_each_says_what_it_needs() {
    let House { dir: _dir, mut ca, .. } = House::new();
    let step = |result: Result<(), CaError>| result.unwrap_err().to_string();
    let first = ca.certificate().to_vec();
    assert!(step(ca.switch(HOUR, at(1))).starts_with("cannot switch now: the authority is steady"));
    assert!(
        step(ca.retire(false, at(1))).starts_with("cannot retire now: the authority is steady")
    );
    ca.announce(HOUR, at(1)).unwrap();
    assert!(step(ca.announce(HOUR, at(2))).contains("is announced, and must be steady"));
    let next = ca.second().unwrap().to_vec();
    assert_eq!((ca.stage(), ca.certificate()), (Stage::Announced, first.as_slice()));

    issue(&ca, HOST, at(2));
    ca.switch(HOUR, at(3)).unwrap();
    assert_eq!((ca.stage(), ca.certificate()), (Stage::Switched, next.as_slice()));
    assert_eq!(ca.second(), Some(first.as_slice()));
    assert_eq!(ca.holders_of_old(at(3)).unwrap(), [HOST]);
    assert!(
        step(ca.retire(false, at(4)))
            .contains(&format!("certificate of the old authority: {HOST}"))
    );
    let fresh = issue(&ca, HOST, at(5));
    assert!(roots::is_issued_by(&fresh.chain[0], &next));
    assert!(ca.holders_of_old(at(5)).unwrap().is_empty(), "it has a newer one");
    ca.retire(false, at(6)).unwrap();
    assert_eq!((ca.stage(), ca.second()), (Stage::Steady, None));
    let list = RootsList::parse(&ca.roots().unwrap()).unwrap();
    assert_eq!((list.roots, list.retired), (vec![next], vec![first]));
}

#[test]
fn a_list_counts_when_an_authority_that_is_trusted_has_signed_it_and_never_goes_back() {
    let (House { dir: _a, mut ca, .. }, House { dir: _b, ca: mut stranger, .. }) =
        (House::new(), House::new());
    let old = ca.certificate().to_vec();
    ca.announce(HOUR, at(1)).unwrap();
    let announced = ca.roots().unwrap();
    let number = RootsList::parse(&announced).unwrap().number;
    assert_eq!(judge(&[&old], 0, &announced), "taken: 2 roots");
    assert_eq!(judge(&[&old], number, &announced), "known");
    assert_eq!(judge(&[&old], number + 1, &announced), RootsRefused::Older.to_string());

    let unsigned = RootsRefused::NotSigned.to_string();
    stranger.announce(HOUR, at(2)).unwrap();
    assert_eq!(judge(&[&old], 0, &stranger.roots().unwrap()), unsigned);
    // A host has a certificate of the authority and a key of its own: that is not the authority's key.
    let host = rcgen::KeyPair::generate().unwrap();
    let forged = RootsList::parse(&announced).unwrap().seal(&[&host]).unwrap();
    assert_eq!(judge(&[&old], 0, &forged), unsigned);
    let mut bent = RootsList::parse(&announced).unwrap();
    bent.spread_s = 0;
    let bent = roots::tests::with_body_of(&announced, &bent.seal(&[&host]).unwrap());
    assert_eq!(judge(&[&old], 0, &bent), unsigned);

    ca.switch(HOUR, at(3)).unwrap();
    ca.retire(true, at(4)).unwrap();
    assert_eq!(judge(&[&old], number, &ca.roots().unwrap()), "taken: 1 roots");
}

#[test]
fn a_switch_that_is_cut_off_is_finished_or_never_was() {
    let House { dir, mut ca, .. } = House::new();
    ca.announce(HOUR, at(1)).unwrap();
    let (first, next) = (ca.certificate().to_vec(), ca.second().unwrap().to_vec());
    let path = dir.path().join("ca");
    let copy = |from: &str, to: &str| {
        std::fs::copy(path.join(from), path.join(to)).unwrap();
    };
    // Before the first rename: as if it had not begun.
    copy("ca.key", "old.key");
    copy("ca.crt", "old.crt");
    let cut = Ca::open(&path).unwrap();
    assert_eq!((cut.stage(), cut.certificate()), (Stage::Announced, first.as_slice()));
    // Between the two renames: the key is the next one's already.
    std::fs::rename(path.join("next.key"), path.join("ca.key")).unwrap();
    let mut cut = Ca::open(&path).unwrap();
    assert_eq!((cut.stage(), cut.certificate()), (Stage::Switched, next.as_slice()));
    assert_eq!(cut.second(), Some(first.as_slice()));
    // The list still says that the first one issues; whoever types the next word mends that.
    cut.settle(HOUR, at(2)).unwrap();
    assert_eq!(RootsList::parse(&cut.roots().unwrap()).unwrap().issuer(), next);
    // What is issued now is by the next one, with its key.
    let issued = issue(&cut, HOST, at(2));
    assert!(roots::is_issued_by(&issued.chain[0], &next));
}

#[test]
fn who_knows_the_old_authority_only_is_let_in_after_the_switch_and_learns_of_the_new_one() {
    run(async {
        let mut house = House::new();
        let host = house.store(HOST, Role::Agent);
        let aggregator = house.store(AGG, Role::Aggregator);
        house.ca.announce(HOUR, at(1)).unwrap();
        house.ca.switch(HOUR, at(2)).unwrap();
        let list = house.ca.roots().unwrap();
        assert!(aggregator.take_roots(&list).unwrap());
        let key = new_key_and_csr(AGG).unwrap();
        let wish = Wish { csr: &key.csr, name: AGG, role: Role::Aggregator, ttl: HOST_TTL };
        let chain = house.ca.issue(&wish, at(3)).unwrap().chain;
        Identity::replace(aggregator.identity().dir(), &key.key_pem, &chain).unwrap();
        aggregator.reload().unwrap();
        assert!(aggregator.identity().is_current());

        let post = Post::bind(&aggregator, small(Tuning::aggregator()));
        let dialer = Dialer::new(host.clone(), Tuning::agent()).unwrap();
        let (dialled, accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        dialled.unwrap();
        assert_eq!(accepted.peer().name, HOST);
        assert!(host.take_roots(&list).unwrap(), "the old authority has signed it, too");
        assert!(!host.identity().is_current(), "its own certificate is to be renewed");

        house.ca.retire(true, at(4)).unwrap();
        assert!(aggregator.take_roots(&house.ca.roots().unwrap()).unwrap());
        let refused = dialer.dial(post.addr, AGG).await.unwrap_err();
        assert!(refused.to_string().contains("was retired"), "{refused}");
    });
}

#[test]
fn the_holders_of_the_old_one_are_those_of_before_the_switch_whatever_the_clock_did() {
    let House { dir: _dir, mut ca, .. } = House::new();
    for name in ["bad.example.org", "late.example.org", HOST] {
        issue(&ca, name, at(90));
    }
    ca.announce(HOUR, at(90)).unwrap();
    // The clock was set back in between.
    ca.switch(HOUR, at(1)).unwrap();
    ca.revoke(Which::Name("bad.example.org"), at(2)).unwrap();
    issue(&ca, HOST, at(3));
    assert_eq!(ca.holders_of_old(at(4)).unwrap(), ["late.example.org"]);
    let expired = Utc(at(91).0 + 30 * DAY_US);
    assert!(ca.holders_of_old(expired).unwrap().is_empty());
}

#[test]
fn who_opened_the_authority_before_a_step_goes_by_what_the_files_say() {
    let House { dir, mut ca, .. } = House::new();
    let path = dir.path().join("ca");
    let mut early = Ca::open(&path).unwrap();
    ca.announce(HOUR, at(1)).unwrap();
    let again = early.announce(HOUR, at(2)).unwrap_err().to_string();
    assert!(again.contains("is announced, and must be steady"), "{again}");
    ca.switch(HOUR, at(3)).unwrap();
    let key = new_key_and_csr(HOST).unwrap();
    let wish = Wish { csr: &key.csr, name: HOST, role: Role::Agent, ttl: HOST_TTL };
    assert!(matches!(early.issue(&wish, at(4)), Err(CaError::Outdated)));
    early.settle(HOUR, at(5)).unwrap();
    assert!(roots::is_issued_by(&early.issue(&wish, at(6)).unwrap().chain[0], ca.certificate()));
}

#[test]
fn the_revocation_list_can_be_checked_at_each_step() {
    let mut house = House::new();
    let store = house.store(AGG, Role::Aggregator);
    house.certify(HOST, Role::Agent);
    house.ca.revoke(Which::Name(HOST), at(1)).unwrap();
    let follow = |ca: &Ca| {
        store.take_roots(&ca.roots().unwrap()).unwrap();
        store.take_revocations(&ca.crl().unwrap()).unwrap();
        store.identity().crls.len()
    };
    house.ca.announce(HOUR, at(2)).unwrap();
    assert_eq!(follow(&house.ca), 1);
    house.ca.switch(HOUR, at(3)).unwrap();
    assert_eq!(follow(&house.ca), 2);
    house.ca.retire(true, at(4)).unwrap();
    assert_eq!(follow(&house.ca), 1);
}

#[test]
fn a_list_keeps_its_limits() {
    let House { dir: _dir, mut ca, .. } = House::new();
    ca.announce(HOUR, at(1)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let good = RootsList::parse(&ca.roots().unwrap()).unwrap();
    let host = issue(&ca, HOST, at(2)).chain.swap_remove(0);
    let (root, cross) = (good.roots[0].clone(), good.cross[0].clone());
    let check = |bad: RootsList| {
        let refused = RootsList::parse(&bad.seal(&[&key]).unwrap()).unwrap_err();
        assert!(matches!(refused, RootsRefused::Wrong(_)), "{refused}");
    };
    check(RootsList { roots: vec![root.clone(); 5], ..good.clone() });
    check(RootsList { roots: Vec::new(), cross: Vec::new(), ..good.clone() });
    check(RootsList { roots: vec![host], cross: Vec::new(), issuer: 0, ..good.clone() });
    check(RootsList { issuer: 2, ..good.clone() });
    check(RootsList { cross: vec![cross.clone(); 3], ..good.clone() });
    // The next root is missing, so its key must not be bridged to.
    check(RootsList { roots: vec![root.clone()], ..good.clone() });
    // A bridge has not signed itself.
    check(RootsList { roots: vec![root, cross], ..good.clone() });
    check(RootsList { retired: vec![b"noise".to_vec()], ..good.clone() });
    let signed_thrice = good.seal(&[&key, &key, &key]).unwrap();
    assert!(matches!(RootsList::parse(&signed_thrice), Err(RootsRefused::Wrong(_))));
}

#[test]
fn a_host_renews_within_the_spread() {
    let mut house = House::new();
    let host = house.store(HOST, Role::Agent);
    let mut clock = RenewalClock::new(2 * 3_600_000_000 + 1_800_000_000);
    house.ca.announce(HOUR, at(1)).unwrap();
    host.take_roots(&house.ca.roots().unwrap()).unwrap();
    assert!(!clock.is_due(&host.identity(), at(1)));
    house.ca.switch(HOUR, at(2)).unwrap();
    host.take_roots(&house.ca.roots().unwrap()).unwrap();
    // Half of the spread, from when it was first seen.
    let due = [10, 1_809, 1_810].map(|second| clock.is_due(&host.identity(), at(second)));
    assert_eq!(due, [false, false, true]);
}

#[test]
fn a_list_that_is_damaged_on_disk_counts_as_none() {
    let mut house = House::new();
    let host = house.store(HOST, Role::Agent);
    house.ca.announce(HOUR, at(1)).unwrap();
    host.take_roots(&house.ca.roots().unwrap()).unwrap();
    std::fs::write(host.identity().dir().join("ca.roots"), "noise").unwrap();
    host.reload().unwrap();
    assert_eq!((host.identity().roots_number(), host.identity().roots().count()), (0, 2));
    assert!(host.take_roots(&house.ca.roots().unwrap()).unwrap());
}
