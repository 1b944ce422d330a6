//! Whether this machine can run a fleet at all.
//!
//! Room: `tests/fleet`.  May use: nothing of ours.  Used by: `fleet`.

use std::process::Command;

/// Programs of the fleet. `tests/setup.sh test` installs them.
const PROGRAMS: &[&str] =
    &["bash", "chroot", "debootstrap", "ip", "nft", "nsenter", "systemd-nspawn", "unshare"];
/// What the stage's set-up does that a kernel may refuse.
const TRIAL: &str = "
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
grep -qw overlay /proc/filesystems
ip link add br0 type bridge
ip link add a0 type veth peer name b0
sysctl -qn net.bridge.bridge-nf-call-iptables
nft add table inet trial
nft 'add chain inet trial faults { type filter hook forward priority 0; }'
nft 'add rule inet trial faults numgen random mod 100 < 50 drop'
";

/// When this variable is set, an obstacle is a failure: for machines of which it is known that they can.
const MUST: &str = "MUSTER_FLEET_MUST_RUN";

/// Why not; `None` when it can.
///
/// # Panics
/// Instead of giving a reason, when `MUSTER_FLEET_MUST_RUN` is set.
pub fn obstacle() -> Option<String> {
    let found = find_obstacle();
    let must = std::env::var_os(MUST).is_some();
    assert!(!must || found.is_none(), "{MUST} is set, and yet: {found:?}");
    found
}

fn find_obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("hosts need root: namespaces, mounts, nftables".to_owned());
    }
    let is_there = |program: &&&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(**program).exists())
    };
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|program| !is_there(program)).copied().collect();
    if !missing.is_empty() {
        return Some(format!("not installed: {} (tests/setup.sh test)", missing.join(" ")));
    }
    let trial = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--ipc", "--fork", "--mount-proc"])
        .args(["--propagation", "private", "bash", "-euc", TRIAL])
        .output();
    match trial {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "this kernel cannot: {}",
            String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")
        )),
        Err(error) => Some(format!("unshare does not start: {error}")),
    }
}
