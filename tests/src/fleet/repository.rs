//! The repository from which apt of the hosts installs our packages.
//!
//! Room: `tests/fleet`.  May use: `host`, `packages`.  Used by: `fleet`, `host`, `image`, tests.
//!
//! It is a folder of its fleet that every host sees as `/srv/muster`. Publishing another version is an upgrade
//! that waits.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::host::Host;
use crate::packages::{NAMES, file_of, packed};

/// Where hosts see the repository.
pub(super) const REPOSITORY: &str = "/srv/muster";
/// What apt and dpkg of a host are told. The hosts are thrown away: dpkg need not wait for this machine's disk.
const SETTINGS: &str = "
echo 'deb [trusted=yes] file:/srv/muster ./' >/etc/apt/sources.list.d/muster.list
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/fleet
export DEBIAN_FRONTEND=noninteractive
";

/// The repository of a fleet.
pub(super) struct Repository {
    pub(super) folder: PathBuf,
}

impl Repository {
    pub(super) fn new(folder: &Path) -> Repository {
        std::fs::create_dir_all(folder).expect("a folder for the repository");
        Repository { folder: folder.to_owned() }
    }

    /// Offers the packages of this build as version `…SUFFIX`, beside what is there.
    pub(super) fn publish(&self, suffix: &str) {
        let packages = packed(suffix);
        for name in NAMES {
            let source = file_of(&packages, name);
            let target = self.folder.join(source.file_name().expect("it is a file"));
            std::fs::copy(&source, target).expect("a package in the repository");
        }
        let mut index = Command::new("dpkg-scanpackages");
        let output = index.args(["--multiversion", "."]).current_dir(&self.folder).output();
        let output = output.expect("dpkg-scanpackages starts");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "dpkg-scanpackages: {err}");
        std::fs::write(self.folder.join("Packages"), output.stdout).expect("the index");
    }
}

/// The shell script that installs packages from the repository, or upgrades them to what it has newest.
pub(super) fn apt_script(packages: &[&str]) -> String {
    let packages = packages.join(" ");
    format!(
        "{SETTINGS}apt-get update -qq\napt-get install -qq -y --no-install-recommends {packages}\n"
    )
}

impl Host {
    /// Installs packages with apt from the repository, or upgrades them to what it has newest; gives what apt
    /// and the packages said.
    ///
    /// # Panics
    /// When apt fails, with what it said.
    #[track_caller]
    pub fn apt_install(&self, packages: &[&str]) -> String {
        self.sh(&format!("exec 2>&1\n{}", apt_script(packages)))
    }

    /// `apt install ./FILE.deb` of version `…SUFFIX`, without the repository's index; gives what was said.
    ///
    /// # Panics
    /// When apt fails, with what it said.
    #[track_caller]
    pub fn apt_install_files(&self, packages: &[&str], suffix: &str) -> String {
        let file = |name: &&str| {
            let path = file_of(&packed(suffix), name);
            format!("./{}", path.file_name().unwrap_or_default().to_string_lossy())
        };
        let files: Vec<String> = packages.iter().map(file).collect();
        self.sh(&format!(
            "exec 2>&1\nexport DEBIAN_FRONTEND=noninteractive\ncd {REPOSITORY}\napt install -qq -y {}",
            files.join(" ")
        ))
    }

    /// `apt remove` or `apt purge`; gives what was said.
    ///
    /// # Panics
    /// When apt fails, with what it said.
    #[track_caller]
    pub fn apt(&self, verb: &str, packages: &[&str]) -> String {
        let packages = packages.join(" ");
        self.sh(&format!(
            "exec 2>&1\nexport DEBIAN_FRONTEND=noninteractive\napt-get {verb} -qq -y {packages}"
        ))
    }

    /// The version of a package that is installed; empty when none is.
    pub fn version(&self, package: &str) -> String {
        let shown = "${db:Status-Status} ${Version}";
        let answer = self.run(&["dpkg-query", "-W", "-f", shown, package]);
        answer.out.strip_prefix("installed ").unwrap_or_default().to_owned()
    }
}
