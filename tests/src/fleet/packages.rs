//! The Debian packages under test, and the repository from which apt of the hosts installs them.
//!
//! Room: `tests/fleet`.  May use: `host`.  Used by: `fleet`, `muster`, tests.
//!
//! The packages hold the programs that the tests have anyway, not a release build. Each version is packed
//! once for all fleets of a test binary. The repository is a folder of its fleet that every host sees as
//! `/srv/muster`; publishing another version is an upgrade that waits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::host::Host;
use crate::rig::program;

/// Where hosts see the repository.
pub(super) const REPOSITORY: &str = "/srv/muster";
/// Packages of the versions that were packed already, by suffix.
static PACKED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

/// The repository of a fleet.
pub(super) struct Repository {
    folder: PathBuf,
}

impl Repository {
    pub(super) fn new(folder: &Path) -> Repository {
        std::fs::create_dir_all(folder).expect("a folder for the repository");
        Repository { folder: folder.to_owned() }
    }

    /// Offers the packages of this build as version `…SUFFIX`, beside what is there.
    pub(super) fn publish(&self, suffix: &str) {
        for entry in std::fs::read_dir(packed(suffix)).expect("packages").flatten() {
            if entry.path().extension().is_some_and(|end| end == "deb") {
                let target = self.folder.join(entry.file_name());
                std::fs::copy(entry.path(), target).expect("a package in the repository");
            }
        }
        let mut index = Command::new("dpkg-scanpackages");
        let output = index.args(["--multiversion", "."]).current_dir(&self.folder).output();
        let output = output.expect("dpkg-scanpackages starts");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "dpkg-scanpackages: {err}");
        std::fs::write(self.folder.join("Packages"), output.stdout).expect("the index");
    }
}

impl Host {
    /// Installs packages with apt, or upgrades them to what the repository has newest.
    ///
    /// # Panics
    /// When apt fails, with what it said.
    #[track_caller]
    pub fn apt_install(&self, packages: &[&str]) {
        let source = format!("deb [trusted=yes] file:{REPOSITORY} ./\n");
        self.write("/etc/apt/sources.list.d/muster.list", &source);
        // The hosts are thrown away: dpkg need not wait for this machine's disk.
        self.write("/etc/dpkg/dpkg.cfg.d/fleet", "force-unsafe-io\n");
        self.sh(&format!(
            "export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; \
             apt-get install -qq -y --no-install-recommends {}",
            packages.join(" ")
        ));
    }

    /// The version of a package that is installed; empty when none is.
    pub fn version(&self, package: &str) -> String {
        self.run(&["dpkg-query", "-W", "-f", "${Version}", package]).out
    }
}

/// Folder of the packages of this build with a suffix to their version.
fn packed(suffix: &str) -> PathBuf {
    let mut known = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = known.get(suffix) {
        return folder.clone();
    }
    let programs = program("muster-agent");
    let target = programs.parent().and_then(Path::parent).expect("programs lie below target");
    let folder = target.join(format!("fleet-deb{suffix}"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/deb.sh");
    let output = Command::new(&script)
        .env("DEB_PROFILE", "dev")
        .env("DEB_VERSION_SUFFIX", suffix)
        .env("DEB_OUT", &folder)
        .output()
        .expect("packaging/deb.sh starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "packaging/deb.sh: {said}");
    known.insert(suffix.to_owned(), folder.clone());
    folder
}
