//! The Debian packages under test: packed by `packaging/deb.sh` from the programs that the tests have anyway,
//! which is a build for tests and not a release build.
//!
//! Room: `tests`.  May use: `rig`.  Used by: `fleet`, tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::rig::{program, tell};

/// The packages, in the order in which Debian's control file has them.
pub const NAMES: [&str; 3] = ["muster-agent", "muster-aggregator", "musterctl"];
/// Folders of the versions that were packed already, by suffix.
static PACKED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

/// The folder with the packages of this build, as version `…SUFFIX`. Each version is packed once in a test
/// binary, which takes some seconds.
///
/// # Panics
/// When they cannot be packed, with what `deb.sh` said.
pub fn packed(suffix: &str) -> PathBuf {
    let mut known = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = known.get(suffix) {
        return folder.clone();
    }
    let programs = program("muster-agent");
    let target = programs.parent().and_then(Path::parent).expect("programs lie below target");
    let folder = target.join(format!("deb-of-tests{suffix}"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/deb.sh");
    let output = Command::new(&script)
        .env("DEB_PROFILE", "dev")
        .env("DEB_VERSION_SUFFIX", suffix)
        .env("DEB_OUT", &folder)
        .output()
        .expect("packaging/deb.sh starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "packaging/deb.sh: {said}");
    tell(&format!("packages of this build for tests:\n{said}"));
    known.insert(suffix.to_owned(), folder.clone());
    folder
}

/// The file of one package in a folder of [`packed`].
///
/// # Panics
/// When it is not there.
pub fn file_of(folder: &Path, package: &str) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("a folder of packages").flatten();
    let mut paths = files.map(|file| file.path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
    };
    paths.find(is_it).unwrap_or_else(|| panic!("no {package} in {}", folder.display()))
}
