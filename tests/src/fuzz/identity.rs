//! The PEM files of an identity directory. The first byte chooses which of them has the bytes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use muster_link::ca::{Ca, Which, Wish};
use muster_link::identity::{Fresh, new_key_and_csr};
use muster_link::{Identity, Role};
use tempfile::TempDir;

use super::{Target, wrap};

pub(super) const TARGET: Target = Target { rounds: 300, ..Target::new("identity", run, seeds) };

const FILES: [&str; 4] = ["host.key", "host.crt", "ca.crt", "ca.crl"];

/// A CA and a host that it certified.
pub(super) struct Made {
    folder: TempDir,
    /// The authority.
    pub(super) ca: Ca,
    /// The host's request.
    pub(super) csr: Vec<u8>,
    /// The host's certificates, leaf first.
    pub(super) chain: Vec<Vec<u8>>,
}

/// Made once.
pub(super) fn made() -> &'static Made {
    static MADE: LazyLock<Made> = LazyLock::new(make);
    &MADE
}

fn make() -> Made {
    let folder = tempfile::tempdir().expect("room for a CA");
    let ca = Ca::init(&folder.path().join("ca"), "Example", wrap::AT).expect("a new CA");
    let key = new_key_and_csr("db1.example.org").expect("a key");
    let ttl = Duration::from_secs(86_400);
    let wish = Wish { csr: &key.csr, name: "db1.example.org", role: Role::Agent, ttl };
    let chain = ca.issue(&wish, wrap::AT).expect("a certificate").chain;
    let roots = [ca.certificate().to_vec()];
    let fresh = Fresh { key_pem: &key.key_pem, chain: &chain, roots: &roots };
    let dir = folder.path().join("identity");
    Identity::install(&dir, &fresh).expect("room for an identity");
    ca.revoke(Which::Name("db1.example.org"), wrap::AT).expect("it was issued");
    ca.publish(&dir).expect("room for a CRL");
    Made { folder, ca, csr: key.csr, chain }
}

fn run(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let dir = made().folder.path().join("identity");
    let path = dir.join(FILES[usize::from(*choice) % FILES.len()]);
    let good = fs::read(&path).expect("it was written");
    put(&path, bytes);
    let loaded = Identity::load(&dir);
    if let Ok(identity) = &loaded {
        identity.renew_at(u64::MAX);
        assert_eq!(identity.name(), "db1.example.org");
    }
    put(&path, &good);
}

fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("room for a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

fn seeds() -> Vec<Vec<u8>> {
    let dir = made().folder.path().join("identity");
    let seed = |(choice, name): (u8, &str)| {
        [&[choice][..], &fs::read(dir.join(name)).expect("it was written")].concat()
    };
    (0..).zip(FILES).map(seed).collect()
}
