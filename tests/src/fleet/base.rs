//! Base trees: one Debian of each release, debootstrapped once and shared by every host.
//!
//! Room: `tests/fleet`.  May use: nothing of ours.  Used by: `host`.
//!
//! Invariants
//! - A tree lies under a name that holds the checksum of its recipe: another recipe is another tree.
//! - A tree is made beside its place and renamed when it is whole. A half-built one is never used.
//! - Nobody writes into a tree: hosts lay an overlay over it.
//! - The mirror is the one apt of this machine uses.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nix::fcntl::{Flock, FlockArg};

use crate::rig::tell;

/// A release of Debian that hosts can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Release {
    /// Debian 12.
    #[default]
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Release {
    /// Its code name.
    pub fn code(self) -> &'static str {
        match self {
            Release::Bookworm => "bookworm",
            Release::Trixie => "trixie",
        }
    }
}

/// What a host has beside the essential packages: what a server has anyway, what ours depend on, and
/// what tests act with. Hosts have no way out, so whatever apt shall find must lie here or in the
/// repository of the tests.
const PACKAGES: &[&str] = &[
    "adduser",
    "ca-certificates",
    "dbus",
    "faketime",
    "iproute2",
    "iputils-ping",
    "libcap2-bin",
    "libnss-systemd",
    "nftables",
    "procps",
    "systemd",
    "systemd-sysv",
];

/// What is done in a new tree, as its root, with `sh -e`.
const FINISH: &str = "
systemctl enable systemd-networkd.service
systemctl disable systemd-networkd-wait-online.service
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
systemctl set-default multi-user.target
mkdir -p /var/log/journal
rm -f /etc/hostname /etc/hosts /etc/resolv.conf
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
apt-get clean
: >/etc/hosts
: >/etc/resolv.conf
: >/etc/machine-id
";

/// Folder of what outlives a test run: `MUSTER_FLEET_DIR`, or `/var/cache/muster-fleet`.
pub fn cache_dir() -> PathBuf {
    std::env::var_os("MUSTER_FLEET_DIR")
        .map_or_else(|| PathBuf::from("/var/cache/muster-fleet"), PathBuf::from)
}

/// The tree of a release; makes it if it is not there yet, which takes about a minute.
///
/// # Panics
/// When debootstrap fails, with the end of what it said.
pub fn tree(release: Release) -> PathBuf {
    let mirror = mirror();
    let recipe = format!("{release:?} {mirror} {PACKAGES:?} {FINISH}");
    let name = format!("{}-{:08x}", release.code(), crc32c::crc32c(recipe.as_bytes()));
    let folder = cache_dir().join("base");
    std::fs::create_dir_all(&folder).expect("a folder for base trees");
    let tree = folder.join(&name);
    // One builds, others wait: two test runs may begin at once.
    let _lock = locked(&folder.join(format!("{}.lock", release.code())));
    if !tree.exists() {
        forget_others(&folder, release);
        let part = folder.join(format!("{name}.part"));
        build(release, &mirror, &part);
        std::fs::rename(&part, &tree).expect("a whole tree takes its place");
    }
    tree
}

pub(super) fn locked(path: &Path) -> Flock<File> {
    let file = File::options().create(true).append(true).open(path).expect("a lock file");
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).expect("the lock")
}

/// Removes half-built trees, and whole ones of other recipes that nobody has made anew for a while.
/// A tree that a running host lies on stays usable: only its names go, and not before two weeks.
fn forget_others(folder: &Path, release: Release) {
    const KEPT_S: u64 = 14 * 24 * 3600;
    for entry in std::fs::read_dir(folder).expect("the folder of base trees").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let age = entry.metadata().and_then(|meta| meta.modified()).ok();
        let age_s = age.and_then(|at| at.elapsed().ok()).map_or(0, |age| age.as_secs());
        let is_tree = name.starts_with(&format!("{}-", release.code()));
        if is_tree && (name.ends_with(".part") || age_s > KEPT_S) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn build(release: Release, mirror: &str, part: &Path) {
    let began = Instant::now();
    let mut command = Command::new("debootstrap");
    command.arg("--variant=minbase").arg(format!("--include={}", PACKAGES.join(",")));
    command.arg(release.code()).arg(part).arg(mirror);
    if let Some(proxy) = apt_says("config", &["dump", "--format=%v%n", "Acquire::http::Proxy"]) {
        command.env("http_proxy", proxy);
    }
    run(&mut command);
    run(Command::new("chroot").arg(part).args(["sh", "-ec", FINISH]));
    tell(&format!(
        "fleet: base tree of {}: {:.0} s",
        release.code(),
        began.elapsed().as_secs_f64()
    ));
}

/// The mirror that apt of this machine takes its own release from.
fn mirror() -> String {
    let format = "$(SITE) $(COMPONENT)";
    let words = ["indextargets", "--format", format, "Created-By: Packages", "Component: main"];
    let found = apt_says("get", &words).and_then(|line| Some(line.split(' ').next()?.to_owned()));
    found.expect("apt of this machine has a mirror of Debian")
}

/// First line that `apt-WHAT` prints; `None` when it prints nothing.
fn apt_says(what: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(format!("apt-{what}")).args(words).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().filter(|line| !line.is_empty()).map(str::to_owned)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let tail = String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..]).into_owned();
    assert!(output.status.success(), "{command:?}: {tail}");
}
