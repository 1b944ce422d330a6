//! One host: an overlay over a base tree, booted by systemd-nspawn on the stage.
//!
//! Room: `tests/fleet`.  May use: `base`, `network`, `repository`, `stage`.  Used by: `fleet`, `acts`, `muster`, `numbered`.
//!
//! Commands are run inside by entering the namespaces of the host's first process: nothing of this machine's
//! systemd or D-Bus is asked. They run as root of the host, outside of its units.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::base::Release;
use super::network::Address;
use super::output_with;
use super::repository::REPOSITORY;
use super::stage::{Stage, children};
use crate::rig::{Answer, eventually};

/// A boot takes a second or two; only a bug takes this long.
const BOOT_PATIENCE: Duration = Duration::from_secs(60);
/// A command inside that takes longer is ended. Seconds.
const COMMAND_S_MAX: &str = "120";
/// What systemd-nspawn ends with when its host wants to boot again (its `--keep-unit`).
const REBOOT_CODE: i32 = 133;

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It runs an agent.
    Agent,
    /// It runs an aggregator.
    Aggregator,
    /// Nothing of ours is installed.
    Bare,
}

/// One host before it exists.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its full name, which has at least two labels.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its Debian.
    pub release: Release,
    /// Size in MiB of a disk of its own for `/var/lib/muster`; `None`: all hosts share this machine's.
    pub disk_mib: Option<u32>,
    /// More lines for the configuration of its agent or aggregator.
    pub more: String,
    /// Nothing of ours is installed yet: the story does it.
    pub is_fresh: bool,
}

impl Plan {
    /// A host with an agent.
    pub fn agent(name: &str) -> Plan {
        Plan::new(name, Role::Agent)
    }

    /// A host with an aggregator.
    pub fn aggregator(name: &str) -> Plan {
        Plan::new(name, Role::Aggregator)
    }

    /// A host without anything of ours.
    pub fn bare(name: &str) -> Plan {
        Plan::new(name, Role::Bare)
    }

    fn new(name: &str, role: Role) -> Plan {
        let (name, more) = (name.to_owned(), String::new());
        Plan { name, role, release: Release::default(), disk_mib: None, more, is_fresh: false }
    }

    /// Without the packages of its role; [`super::Fleet::install`] leaves it alone.
    #[must_use]
    pub fn fresh(self) -> Plan {
        Plan { is_fresh: true, ..self }
    }

    /// Which image it stands on.
    pub(super) fn kind(&self) -> (Release, Role) {
        (self.release, if self.is_fresh { Role::Bare } else { self.role })
    }

    /// With another Debian.
    #[must_use]
    pub fn with_release(self, release: Release) -> Plan {
        Plan { release, ..self }
    }

    /// With a disk of its own for `/var/lib/muster`.
    #[must_use]
    pub fn with_disk(self, mebibytes: u32) -> Plan {
        Plan { disk_mib: Some(mebibytes), ..self }
    }

    /// With more lines for its configuration.
    #[must_use]
    pub fn with_config(self, more: &str) -> Plan {
        Plan { more: more.to_owned(), ..self }
    }

    /// The datacenter: the second label of its name.
    ///
    /// # Panics
    /// When the name has only one.
    pub fn datacenter(&self) -> &str {
        self.name.split('.').nth(1).unwrap_or_else(|| panic!("{} names no datacenter", self.name))
    }
}

/// One host.
pub struct Host {
    /// Its full name.
    pub name: String,
    /// How it was planned.
    pub plan: Plan,
    /// Its place in the network.
    pub address: Address,
    stage: Arc<Stage>,
    folder: PathBuf,
    running: Mutex<Option<Running>>,
}

/// systemd-nspawn and, once it runs, the first process of the host.
struct Running {
    child: Child,
    first: Option<u32>,
}

impl Host {
    pub(super) fn new(stage: Arc<Stage>, plan: Plan, address: Address, lower: &str) -> Host {
        let folder = stage.folder.join(&plan.name);
        let name = plan.name.clone();
        let host = Host { name, plan, address, stage, folder, running: Mutex::new(None) };
        host.furnish(lower);
        host
    }

    /// Makes overlay over the layers `lower`, disk and the files that make this host itself.
    fn furnish(&self, lower: &str) {
        let path = |part: &str| self.folder.join(part);
        for part in ["work", "root", "disk", "upper/etc/systemd/network"] {
            std::fs::create_dir_all(path(part)).expect("a folder of the host");
        }
        let write = |file: &str, text: String| {
            std::fs::write(path("upper/etc").join(file), text).expect("a file of the host");
        };
        write("hostname", format!("{}\n", self.name));
        // The same name is the same machine in every run.
        let id = |salt: &str| crc32c::crc32c(format!("{salt}{}", self.name).as_bytes());
        write(
            "machine-id",
            format!("{:08x}{:08x}{:08x}{:08x}\n", id("a"), id("b"), id("c"), id("d")),
        );
        write("systemd/network/10-host0.network", network_file(self.address));
        let show = |part: &str| path(part).display().to_string();
        let (upper, work) = (show("upper"), show("work"));
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        self.stage.run("mount", &["-t", "overlay", "-o", &options, "overlay", &show("root")], "");
        if let Some(mebibytes) = self.plan.disk_mib {
            let (image, size) = (show("disk.img"), format!("{mebibytes}M"));
            self.stage.run("truncate", &["-s", &size, &image], "");
            self.stage.run("mkfs.ext4", &["-q", "-m", "0", &image], "");
            self.stage.run("mount", &["-o", "loop", &image, &show("disk")], "");
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switches it on and waits for nothing.
    ///
    /// # Panics
    /// When it is on.
    pub fn launch(&self) {
        let mut state = self.state();
        assert!(state.is_none(), "{} is on already", self.name);
        let cgroup = self.stage.cgroup(&self.name);
        let show = |part: &str| self.folder.join(part).display().to_string();
        let shared = |part: &str| self.stage.folder.join(part).display().to_string();
        let mut command = self.stage.command("bash");
        // nspawn keeps the cgroup that it is started in, so each host gets its own.
        let enter = "echo 0 >\"$0/cgroup.procs\"; exec systemd-nspawn \"$@\"";
        command.args(["-euc", enter, &cgroup.display().to_string()]);
        command.args(["--quiet", "--register=no", "--keep-unit", "--boot", "--console=pipe"]);
        command.args(["--link-journal=no", "--resolv-conf=off", "--timezone=off", "--settings=no"]);
        // As on a real host, the state of the clock may be read; nobody here may set it.
        command.arg("--system-call-filter=adjtimex clock_adjtime");
        // A machine's name may be as long as the name of a network interface.
        command.arg(format!("--machine=m{}-{}", self.address.site, self.address.host));
        command.arg(format!("--hostname={}", self.name));
        command.arg(format!("--directory={}", show("root")));
        command.arg(format!("--bind={}:/etc/hosts", shared("hosts")));
        command.arg(format!("--bind-ro={}:{REPOSITORY}", shared("repository")));
        command.arg(format!("--network-bridge={}", self.address.bridge()));
        if self.plan.disk_mib.is_some() {
            command.arg(format!("--bind={}:/var/lib/muster", show("disk")));
        }
        let log = std::fs::File::options().create(true).append(true).open(self.console());
        let log = log.expect("the console's file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a copy")).stderr(log);
        let child = command.spawn().expect("nsenter starts");
        *state = Some(Running { child, first: None });
    }

    /// Waits until it has booted; gives what `systemctl is-system-running` says.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_up(&self) -> String {
        eventually(&format!("{} is up", self.name), BOOT_PATIENCE, || {
            if let Some(status) = self.ended() {
                let console = std::fs::read(self.console()).unwrap_or_default();
                let console = String::from_utf8_lossy(&console).into_owned();
                panic!("{} does not boot, {status:?}: {console}", self.name);
            }
            self.first()?;
            let state = self.run(&["systemctl", "is-system-running"]).out.trim().to_owned();
            ["running", "degraded"].contains(&state.as_str()).then_some(state)
        })
    }

    /// Switches it on and waits until it has booted.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(&self) {
        self.launch();
        self.wait_up();
    }

    /// `systemctl reboot`; waits until it has booted again.
    ///
    /// # Panics
    /// When it does not.
    pub fn reboot(&self) {
        self.go_down_to_reboot();
        self.start();
    }

    /// The first half of [`Host::reboot`]: waits until it is off. [`Host::start`] is the second.
    ///
    /// # Panics
    /// When it does not end, or not to boot again.
    pub fn go_down_to_reboot(&self) {
        self.run(&["systemctl", "reboot"]);
        self.wait_down(Some(REBOOT_CODE));
    }

    /// `systemctl poweroff`; waits until it is off. [`Host::start`] switches it on again.
    ///
    /// # Panics
    /// When it does not end.
    pub fn power_off(&self) {
        self.run(&["systemctl", "poweroff"]);
        self.wait_down(Some(0));
    }

    /// Takes the power away: every process ends at once, nothing is said to anybody.
    ///
    /// # Panics
    /// When it is off already.
    pub fn power_cut(&self) {
        let first = self.first().unwrap_or_else(|| panic!("{} is off", self.name));
        kill(pid(first), Signal::SIGKILL).expect("the host's first process is ours");
        self.wait_down(None);
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.state().is_some()
    }

    fn wait_down(&self, code: Option<i32>) {
        let status = eventually(&format!("{} is off", self.name), BOOT_PATIENCE, || self.ended());
        assert!(code.is_none() || status == code, "{} ended with {status:?}", self.name);
        *self.state() = None;
    }

    /// The code with which nspawn ended.
    fn ended(&self) -> Option<Option<i32>> {
        let mut state = self.state();
        let status = state.as_mut()?.child.try_wait().expect("it can be waited for")?;
        Some(status.code())
    }

    /// Its first process, by its number on this machine: nsenter's child is nspawn, nspawn's is init.
    pub fn first(&self) -> Option<u32> {
        let mut state = self.state();
        let running = state.as_mut()?;
        if running.first.is_none() {
            let nspawn = children(running.child.id()).first().copied()?;
            // Between bash and nspawn there is a moment in which the cgroup is entered.
            let name = std::fs::read_to_string(format!("/proc/{nspawn}/comm")).ok()?;
            let init = children(nspawn).first().copied()?;
            let inner = std::fs::read_to_string(format!("/proc/{init}/comm")).ok()?;
            let is_booting = name.trim() == "systemd-nspawn" && inner.trim() == "systemd";
            running.first = is_booting.then_some(init);
        }
        running.first
    }

    /// Runs a command inside.
    ///
    /// # Panics
    /// When the host is off.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Answer {
        self.run_with(words, "")
    }

    /// Runs a command inside, with `input`.
    ///
    /// # Panics
    /// When the host is off.
    #[track_caller]
    pub fn run_with(&self, words: &[&str], input: &str) -> Answer {
        let first = self.first().unwrap_or_else(|| panic!("{} is off", self.name)).to_string();
        let mut command = std::process::Command::new("nsenter");
        command.args(["--target", &first, "--all", "timeout", "-k1", COMMAND_S_MAX]).args(words);
        command.env_clear().env("LANG", "C.UTF-8");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let output = output_with(&mut command, input);
        Answer {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a shell script inside, to its first failure; gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let answer = self.run(&["sh", "-euc", script]);
        assert!(answer.code == 0, "{}: {script}: {}{}", self.name, answer.out, answer.err);
        answer.out
    }

    /// Writes a file inside, and the folder it lies in.
    ///
    /// # Panics
    /// When the host refuses.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        let script = "mkdir -p \"$(dirname \"$0\")\"; cat >\"$0\"";
        let answer = self.run_with(&["sh", "-euc", script, path], text);
        assert!(answer.code == 0, "{}: {path}: {}", self.name, answer.err);
    }

    /// What a unit logged since the host's boot, for messages.
    pub fn journal(&self, unit: &str) -> String {
        self.run(&["journalctl", "-b", "-u", unit, "--no-pager", "-o", "short-iso-precise"]).out
    }

    fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let first = self.first();
        if let Some(mut running) = self.state().take() {
            if let Some(first) = first {
                let _ = kill(pid(first), Signal::SIGKILL);
            } else {
                let _ = running.child.kill();
            }
            let _ = running.child.wait();
        }
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).expect("a process id fits"))
}

/// Static addresses in both families, usable at once.
fn network_file(address: Address) -> String {
    let gateway = address.gateway();
    format!(
        "[Match]\nName=host0\n[Network]\nAddress={}/24\nGateway={}\nGateway={}\nIPv6AcceptRA=no\n\
         LLDP=no\nEmitLLDP=no\n[Address]\nAddress={}/64\nDuplicateAddressDetection=none\n",
        address.v4(),
        gateway.v4(),
        gateway.v6(),
        address.v6(),
    )
}
