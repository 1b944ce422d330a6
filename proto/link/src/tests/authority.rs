//! The CA's refusals and lists, and identity directories that are not as they should be.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::ca::{CaError, Which};
use crate::identity::pem_of;

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[track_caller]
fn check_issue(name: &str, csr: &[u8], expected: &str) {
    let house = House::new();
    let wish = Wish { csr, name, role: Role::Agent, ttl: HOST_TTL };
    let found = match house.ca.issue(&wish, T0) {
        Ok(certified) => Peer::parse(&certified.chain[0]).unwrap().name,
        Err(error) => chain(&error),
    };
    assert_eq!(found, expected);
    let issued = house.ca.issued().unwrap().len();
    assert_eq!(issued, usize::from(found == name), "what is refused is not in the list");
}

#[test]
fn names_are_decided_by_the_ca() {
    let csr = new_key_and_csr("root.example.org").unwrap().csr;
    check_issue(HOST, &csr, HOST);
    check_issue("db1", &csr, "db1");
    for bad in ["", "*", "*.example.org", "DB1.example.org", "a b", "a\nb", "a/b", "-a", "a..b"] {
        check_issue(bad, &csr, &format!("{bad:?} is not a host name"));
    }
    check_issue(&"a".repeat(64), &csr, &format!("{:?} is not a host name", "a".repeat(64)));
}

#[test]
fn requests_must_be_signed_by_their_own_key() {
    let csr = new_key_and_csr(HOST).unwrap().csr;
    let words = "the certificate request is refused: it is not a request signed by its own key";
    check_issue(HOST, b"noise", words);
    check_issue(HOST, &csr[..csr.len() - 1], words);
    let mut forged = csr.clone();
    *forged.last_mut().unwrap() ^= 1;
    check_issue(HOST, &forged, words);
    let long = vec![0x30; 20_000];
    check_issue(HOST, &long, "the certificate request is refused: it is too long");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let other = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    let words = "the certificate request is refused: its key is not on the curve P-256";
    check_issue(HOST, other.der(), words);
}

#[test]
fn a_ca_is_made_once_and_its_key_is_private() {
    let house = House::new();
    let dir = house.path("ca");
    assert!(matches!(Ca::init(&dir, "Other", T0), Err(CaError::Exists { .. })));
    let mode = |name: &str| std::fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca.key"), mode("ca.crt")), (0o600, 0o644));
    assert_eq!(Ca::open(&dir).unwrap().fingerprint(), house.ca.fingerprint());
    std::fs::set_permissions(dir.join("ca.key"), PermissionsExt::from_mode(0o640)).unwrap();
    let words = chain(&Ca::open(&dir).unwrap_err());
    assert!(words.contains("ca.key may be read by others (mode 640); run: chmod 600"), "{words}");
}

#[test]
fn revoking_counts_each_certificate_once() {
    let house = House::new();
    let (_, first) = house.certify(HOST, Role::Agent);
    let (_, second) = house.certify(HOST, Role::Agent);
    house.certify("web1.example.org", Role::Agent);
    let one = house.ca.revoke(Which::Serial(&first.issued.serial), T0).unwrap();
    assert_eq!(one.len(), 1);
    let rest = house.ca.revoke(Which::Name(HOST), T0).unwrap();
    assert_eq!(rest.iter().map(|one| &one.serial).collect::<Vec<_>>(), [&second.issued.serial]);
    assert!(house.ca.revoke(Which::Name(HOST), T0).unwrap().is_empty());
    let unknown = house.ca.revoke(Which::Name("db9"), T0).unwrap_err();
    assert_eq!(unknown.to_string(), "db9 was not issued here");
    let expired = house.ca.revoke(Which::Name(HOST), Utc(T0.0 + 31 * DAY_US)).unwrap_err();
    assert_eq!(expired.to_string(), "db1.example.org was not issued here");
    assert_eq!(house.ca.revoked().unwrap().len(), 2);
}

#[test]
fn a_torn_line_is_cut_off_and_a_bad_one_is_an_error() {
    let house = House::new();
    house.certify(HOST, Role::Agent);
    let path = house.path("ca").join("issued.list");
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(b"00ff 18000");
    std::fs::write(&path, &torn).unwrap();
    assert_eq!(house.ca.issued().unwrap().len(), 1);
    house.certify("web1.example.org", Role::Agent);
    let names: Vec<String> = house.ca.issued().unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, [HOST, "web1.example.org"]);
    std::fs::write(&path, "what is this\n").unwrap();
    let words = chain(&house.ca.issued().unwrap_err());
    assert!(words.ends_with("issued.list: line 1 cannot be read"), "{words}");
}

/// Spoils an identity directory and expects these words (the path left out).
#[track_caller]
fn check_load(spoil: impl Fn(&std::path::Path), expected: &str) {
    let house = House::new();
    let dir = house.identity(HOST, Role::Agent);
    spoil(&dir);
    let found = match Identity::load(&dir) {
        Ok(identity) => identity.name().to_owned(),
        Err(error) => chain(&error).replace(&format!("{}/", dir.display()), ""),
    };
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn identities_that_are_not_as_they_should_be() {
    check_load(|_| {}, HOST);
    check_load(
        |dir| {
            std::fs::set_permissions(dir.join("host.key"), PermissionsExt::from_mode(0o604))
                .unwrap()
        },
        "host.key may be read by others (mode 604); run: chmod 600 host.key",
    );
    check_load(|dir| std::fs::remove_file(dir.join("host.key")).unwrap(), "cannot read host.key");
    check_load(|dir| std::fs::remove_file(dir.join("ca.crt")).unwrap(), "cannot read ca.crt");
    check_load(
        |dir| std::fs::write(dir.join("host.key"), "").unwrap(),
        "host.key holds no readable private key",
    );
    check_load(
        |dir| std::fs::write(dir.join("host.crt"), "").unwrap(),
        "host.crt holds no readable certificate",
    );
    check_load(
        |dir| std::fs::write(dir.join("ca.crt"), pem_of(&[b"noise".to_vec()])).unwrap(),
        "cannot use ca.crt",
    );
    check_load(
        |dir| assert!(std::fs::copy(dir.join("ca.crt"), dir.join("host.crt")).is_ok()),
        "the key and the certificate in ",
    );
}

#[test]
fn a_renewal_survives_a_crash_between_its_renames() {
    let house = House::new();
    let dir = house.identity(HOST, Role::Agent);
    let before = Identity::load(&dir).unwrap();
    house.pass_days(1);
    let (key_pem, certified) = house.certify(HOST, Role::Agent);
    // Crash before the first rename: both new files lie beside the old pair.
    std::fs::write(dir.join("host.crt.new"), pem_of(&certified.chain)).unwrap();
    std::fs::write(dir.join("host.key.new"), &key_pem).unwrap();
    assert_eq!(Identity::load(&dir).unwrap().me(), before.me());
    // Crash between the renames: the key is new, the certificate is not.
    std::fs::write(dir.join("host.key"), &key_pem).unwrap();
    let renewed = Identity::load(&dir).unwrap();
    assert_eq!(renewed.me().serial, certified.issued.serial);
    assert!(!dir.join("host.crt.new").exists());
    assert_eq!(Identity::load(&dir).unwrap().me(), renewed.me());
}

#[test]
fn renewal_is_spread_around_two_thirds_of_the_life() {
    let house = House::new();
    let identity = Identity::load(&house.identity(HOST, Role::Agent)).unwrap();
    let mut random = fastrand::Rng::with_seed(2);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let at = identity.renew_at(random.u64(..));
        let days = (at.0 - T0.0) as f64 / DAY_US as f64;
        assert!((18.4..21.6).contains(&days), "{days}");
        seen.insert(days as i64);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [18, 19, 20, 21]);
    assert_eq!(identity.renew_at(5), identity.renew_at(5));
}

#[test]
fn a_renewal_takes_name_and_role_from_the_list_and_needs_a_good_certificate() {
    let house = House::new();
    let (_, old) = house.certify(HOST, Role::Agent);
    let csr = new_key_and_csr("root.example.org").unwrap().csr;
    let renew = |serial: &[u8], now| house.ca.renew(serial, &csr, HOST_TTL, now);
    let fresh = renew(&old.issued.serial, T0).unwrap();
    assert_eq!((fresh.issued.name.as_str(), fresh.issued.role), (HOST, Role::Agent));
    assert_eq!(house.ca.role_of(&fresh.issued.serial).unwrap(), Some(Role::Agent));
    assert!(matches!(renew(&[1, 2, 3], T0), Err(CaError::Unknown { .. })));
    let late = renew(&old.issued.serial, Utc(T0.0 + 31 * DAY_US)).unwrap_err();
    assert!(late.to_string().contains("is expired"), "{late}");
    house.ca.revoke(Which::Serial(&old.issued.serial), T0).unwrap();
    let revoked = renew(&old.issued.serial, T0).unwrap_err();
    assert!(revoked.to_string().contains("is revoked"), "{revoked}");
}

#[test]
fn a_revocation_list_from_outside_is_the_authority_s_and_never_an_older_one() {
    let house = House::new();
    let store = house.store(AGG, Role::Aggregator);
    let (_, first) = house.certify(HOST, Role::Agent);
    let (_, second) = house.certify("db2.example.org", Role::Agent);
    assert!(house.ca.crl().unwrap().is_empty());
    house.ca.revoke(Which::Serial(&first.issued.serial), T0).unwrap();
    let short = house.ca.crl().unwrap();
    house.ca.revoke(Which::Serial(&second.issued.serial), T0).unwrap();
    let long = house.ca.crl().unwrap();
    assert!(store.take_revocations(&long).unwrap());
    for no_news in [&long, &b"noise".to_vec(), &Vec::new()] {
        assert!(!store.take_revocations(no_news).unwrap());
    }
    let refused =
        |pem: &[u8]| muster_proto::errors::chain(&store.take_revocations(pem).unwrap_err());
    assert!(refused(&short).ends_with("older than the one we have"), "{}", refused(&short));
    // Another authority of the same name, and a list that was changed on the way.
    let other = House::new();
    let (_, theirs) = other.certify(HOST, Role::Agent);
    other.ca.revoke(Which::Serial(&theirs.issued.serial), Utc(T0.0 + DAY_US)).unwrap();
    let forged = other.ca.crl().unwrap();
    let mut changed = String::from_utf8(long).unwrap();
    let at = changed.rfind("-----END").unwrap() - 12;
    let letter = if changed.as_bytes()[at] == b'A' { "B" } else { "A" };
    changed.replace_range(at..=at, letter);
    for pem in [&forged[..], changed.as_bytes()] {
        let why = refused(pem);
        assert!(why.ends_with("not signed by our authority"), "{why}");
    }
    assert_eq!(store.identity().crls.len(), 1);
}
