//! The stage: namespaces of its own in which a fleet lives, so that this machine's network, mounts and
//! processes are untouched, and so that everything is gone when the stage is.
//!
//! Room: `tests/fleet`.  May use: `base`, `inotify`.  Used by: `fleet`, `network`, `host`.
//!
//! The stage's first process reads a pipe of which the test holds the other end. When the test ends, in
//! whatever way (also by kill -9), the pipe closes, that process ends, and the kernel kills every process
//! of its PID namespace; with the last of them the mounts, bridges and nftables rules are gone. What stays
//! are a folder of overlays and empty cgroups: the next stage sweeps them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::base::cache_dir;
use super::inotify::Raised;
use crate::rig::eventually;

/// Run by the stage's first process before it says that it is ready. The new network namespace wants its
/// own /sys, and systemd in the hosts wants the unified cgroup hierarchy, whatever this machine uses.
const SETUP: &str = "
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
echo ready
read -r _
";
/// Its answer when all went well.
const READY: &str = "ready";
/// A namespace takes milliseconds; only a bug takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Namespaces, a folder and a cgroup. All gone when dropped.
pub struct Stage {
    /// Folder of this fleet's overlays, on a real disk: syncs cost what they cost.
    pub folder: PathBuf,
    child: Child,
    /// The first process inside, by its number outside.
    first: u32,
    cgroup: String,
    _inotify: Raised,
    /// Held while the stage lives: whoever can lock it may sweep.
    _alive: Flock<File>,
}

impl Stage {
    /// Sweeps what others left, and opens a stage.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn open() -> Stage {
        let runs = cache_dir().join("run");
        sweep(&runs);
        let name = format!("{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = runs.join(&name);
        std::fs::create_dir_all(&folder).expect("a folder for the fleet");
        let alive = File::create(folder.join("alive")).expect("a lock file");
        let alive = Flock::lock(alive, FlockArg::LockExclusive).map_err(|(_, error)| error);
        let log = folder.join("stage.log");
        let mut child = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "bash", "-euc", SETUP])
            .stdin(Stdio::piped())
            .stdout(File::create(&log).expect("a log"))
            .stderr(File::options().append(true).open(&log).expect("a log"))
            .spawn()
            .expect("unshare starts");
        eventually("the stage is ready", PATIENCE, || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(matches!(child.try_wait(), Ok(None)), "the stage cannot be set up: {said}");
            said.contains(READY).then_some(())
        });
        let first = children(child.id()).first().copied().expect("unshare forked");
        let cgroup = format!("muster-fleet-{name}");
        let alive = alive.expect("nobody else has this name");
        Stage { folder, child, first, cgroup, _inotify: Raised::new(), _alive: alive }
    }

    /// A command that will run on the stage: its network, mounts and processes.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.first.to_string();
        command.args(["--target", &target, "--mount", "--net", "--pid", "--ipc", program]);
        command
    }

    /// Runs a command on the stage, with `input`; gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(&self, program: &str, words: &[&str], input: &str) -> String {
        let mut command = self.command(program);
        let output = super::output_with(command.args(words), input);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {words:?} with {input:?}: {err}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes the cgroup of one host; gives its path as the stage sees it.
    pub fn cgroup(&self, host: &str) -> PathBuf {
        let path = Path::new("/sys/fs/cgroup").join(&self.cgroup).join(host);
        self.run("mkdir", &["-p", &path.display().to_string()], "");
        path
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        clear(&self.folder, &self.cgroup);
    }
}

/// Child processes of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|id| id.parse().ok()).collect()
}

/// Removes what stages left whose test was killed.
fn sweep(runs: &Path) {
    for entry in std::fs::read_dir(runs).into_iter().flatten().flatten() {
        let lock = File::options().write(true).open(entry.path().join("alive"));
        let is_dead = match lock {
            Ok(file) => Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok(),
            // Between making the folder and the lock file there is a moment.
            Err(_) => entry
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > PATIENCE)),
        };
        if is_dead {
            let name = entry.file_name().to_string_lossy().into_owned();
            println!("swept what a killed test left: {name}");
            clear(&entry.path(), &format!("muster-fleet-{name}"));
        }
    }
}

fn clear(folder: &Path, cgroup: &str) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("{}: {error}", folder.display());
    }
    if let Some(root) = cgroup_root() {
        remove_cgroups(&root.join(cgroup));
    }
}

/// Where this machine has its unified cgroups.
fn cgroup_root() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    line.split(' ').nth(1).map(PathBuf::from)
}

/// Folders of cgroups are removed from the leaves up, never their files. The kernel lets go of a killed
/// process a moment after its parent heard of it.
fn remove_cgroups(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroups(&entry.path());
        }
    }
    for _ in 0..100 {
        if std::fs::remove_dir(folder).is_ok() || !folder.exists() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
