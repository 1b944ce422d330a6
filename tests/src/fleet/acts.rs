//! What happens to hosts: processes die or hang, disks fill up, clocks go wrong, packages are upgraded.
//!
//! Room: `tests/fleet`.  May use: `host`.  Used by: tests.
//!
//! What is possible with clocks: a container has this machine's wall clock, and time namespaces move only
//! the monotonic ones. So a skewed clock is told to one unit's program, by libfaketime in front of libc;
//! its monotonic clock stays true, as it does on a host whose wall clock is wrong.

use super::host::Host;

/// Fills a disk. File systems put off finding room for what is written, so once is not enough.
const FILL: &str = "
for block in 1M 64k 1k 1k 1k; do
    dd if=/dev/zero bs=$block of=/var/lib/muster/filler oflag=append conv=notrunc status=none || :
    sync -f /var/lib/muster
done 2>/dev/null
df --output=avail -k /var/lib/muster | tail -n1";
/// What a file system may keep for itself of a full disk. KiB.
const LEFT_KIB_MAX: u64 = 4;
/// Where Debian's libfaketime lies, below the folder of the machine's libraries.
const FAKETIME: &str = "faketime/libfaketime.so.1";

impl Host {
    /// kill -9 of a unit's main process; systemd does with it what the unit says.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn kill(&self, unit: &str) {
        self.signal(unit, "KILL");
    }

    /// Stops a unit's main process where it stands, SIGSTOP: it hangs.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn freeze(&self, unit: &str) {
        self.signal(unit, "STOP");
    }

    /// Lets it go on, SIGCONT.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn thaw(&self, unit: &str) {
        self.signal(unit, "CONT");
    }

    #[track_caller]
    fn signal(&self, unit: &str, signal: &str) {
        let words = ["systemctl", "kill", "--kill-who=main", "--signal", signal, unit];
        let answer = self.run(&words);
        assert!(answer.code == 0, "{}: {signal} {unit}: {}", self.name, answer.err);
    }

    /// Stops a unit and waits for its end.
    ///
    /// # Panics
    /// When it does not stop.
    #[track_caller]
    pub fn stop_unit(&self, unit: &str) {
        self.sh(&format!("systemctl stop {unit}"));
    }

    /// Starts a unit and waits until it says that it is ready.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start_unit(&self, unit: &str) {
        self.sh(&format!("systemctl start {unit}"));
    }

    /// Whether a unit is active.
    pub fn is_active(&self, unit: &str) -> bool {
        self.run(&["systemctl", "is-active", "--quiet", unit]).code == 0
    }

    /// Fills the disk of `/var/lib/muster` to its last block.
    ///
    /// # Panics
    /// When the host has no disk of its own: see [`super::Plan::with_disk`].
    #[track_caller]
    pub fn fill_disk(&self) {
        assert!(self.plan.disk_mib.is_some(), "{} shares this machine's disk", self.name);
        let left: u64 = self.sh(FILL).trim().parse().expect("KiB");
        assert!(left <= LEFT_KIB_MAX, "{}: {left} KiB left on the full disk", self.name);
    }

    /// Gives all room back.
    ///
    /// # Panics
    /// When the filler cannot be removed.
    #[track_caller]
    pub fn free_disk(&self) {
        self.sh("rm /var/lib/muster/filler");
    }

    /// Lets a unit's wall clock differ from the others' by `seconds`, and restarts the unit; 0 sets it right.
    ///
    /// # Panics
    /// When it does not start again.
    #[track_caller]
    pub fn skew_clock(&self, unit: &str, seconds: i64) {
        let file = format!("/etc/systemd/system/{unit}.service.d/clock.conf");
        let library = self.sh(&format!("ls /usr/lib/*/{FAKETIME}"));
        let text = format!(
            "[Service]\nEnvironment=LD_PRELOAD={} FAKETIME={seconds:+}s FAKETIME_DONT_FAKE_MONOTONIC=1\n",
            library.trim()
        );
        self.write(&file, if seconds == 0 { "" } else { &text });
        self.sh(&format!("systemctl daemon-reload; systemctl restart {unit}"));
    }
}
