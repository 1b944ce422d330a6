//! Identities for a swarm: keys and certificates of the rig's own authority.

use std::path::{Path, PathBuf};

use muster_link::ca::{Ca, HOST_TTL, Wish};
use muster_link::identity::{Fresh, new_key_and_csr};
use muster_link::{Identity, Role, system_clock};

/// Threads that make keys.
const MAKERS: usize = 2;

/// A directory full of identities.
pub struct Cradle {
    dir: PathBuf,
}

impl Cradle {
    /// Makes `agents` identities below `dir`, certified by the authority in `ca_dir`.
    ///
    /// # Panics
    /// When the authority or the directory cannot be used.
    pub fn new(ca_dir: &Path, dir: &Path, agents: usize) -> Cradle {
        let cradle = Cradle { dir: dir.to_owned() };
        std::thread::scope(|scope| {
            for maker in 0..MAKERS {
                let cradle = &cradle;
                scope.spawn(move || {
                    let ca = Ca::open(ca_dir).expect("the authority of the rig");
                    (maker..agents).step_by(MAKERS).for_each(|number| cradle.make(&ca, number));
                });
            }
        });
        cradle
    }

    /// Where the identity of agent `number` lies.
    pub fn dir_of(&self, number: usize) -> PathBuf {
        self.dir.join(number.to_string())
    }

    fn make(&self, ca: &Ca, number: usize) {
        let name = format!("db{number}.eqiad.test");
        let key = new_key_and_csr(&name).expect("a key");
        let wish = Wish { csr: &key.csr, name: &name, role: Role::Agent, ttl: HOST_TTL };
        let chain = ca.issue(&wish, system_clock()()).expect("a certificate").chain;
        let roots = [ca.certificate().to_vec()];
        let fresh = Fresh { key_pem: &key.key_pem, chain: &chain, roots: &roots };
        Identity::install(&self.dir_of(number), &fresh).expect("an identity on disk");
    }
}
