//! Why the agent is asked to stop: so that a planned reboot is told as one.
//!
//! Room: `agent::departure`.  May use: nobody.  Used by: `app`.
//! Pure part: [`decide`] (signs in, reason out).  Impure part: [`read`].
//!
//! systemd's queue of jobs is the truth: while it shuts down, the start of `reboot.target` waits there, however the
//! reboot was asked for (logind's PreparingForShutdown misses `systemctl reboot` of root, and has no type before
//! systemd 255). A package upgrade replaces the program on disk before it restarts the unit; the kernel says so.

use std::path::Path;
use std::time::Duration;

use zbus::{Connection, OwnedObjectPath};

/// systemd has this long to answer: the goodbye must still be delivered.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Written by logind for a shutdown at a set time; logind(8).
const SCHEDULED: &str = "/run/systemd/shutdown/scheduled";

/// Why the agent leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Nothing says that it will be back.
    Stop,
    /// The machine starts anew.
    Reboot,
    /// A newer program takes over.
    Upgrade,
    /// The unit is restarted.
    Restart,
}

/// What can be seen at the moment of the signal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signs {
    /// systemd's jobs: unit and type, e.g. `reboot.target`, `start`.
    pub jobs: Vec<(String, String)>,
    /// Our own unit; empty when we are none.
    pub unit: String,
    /// Our program is no longer the file it was started from.
    pub replaced: bool,
    /// Text of the file of a scheduled shutdown; empty when there is none.
    pub scheduled: String,
}

impl Departure {
    /// The word of the goodbye.
    pub fn reason(self) -> &'static str {
        match self {
            Departure::Stop => "stop",
            Departure::Reboot => "reboot",
            Departure::Upgrade => "upgrade",
            Departure::Restart => "restart",
        }
    }
}

/// Says why the agent leaves. The end of the machine outweighs what happens to the unit.
pub fn decide(signs: &Signs) -> Departure {
    let starts = |unit: &str| signs.jobs.iter().any(|(name, kind)| name == unit && kind == "start");
    if ["reboot.target", "kexec.target", "soft-reboot.target"].into_iter().any(starts) {
        return Departure::Reboot;
    }
    if ["poweroff.target", "halt.target"].into_iter().any(starts) {
        return Departure::Stop;
    }
    if signs.replaced {
        return Departure::Upgrade;
    }
    let restarts = |(name, kind): &(String, String)| {
        *name == signs.unit && matches!(kind.as_str(), "restart" | "try-restart")
    };
    if signs.jobs.iter().any(restarts) {
        return Departure::Restart;
    }
    let mode = signs.scheduled.lines().find_map(|line| line.strip_prefix("MODE="));
    // Without an answer from systemd a shutdown that was due now is the next best sign.
    if signs.jobs.is_empty() && matches!(mode, Some("reboot" | "kexec" | "soft-reboot")) {
        return Departure::Reboot;
    }
    Departure::Stop
}

/// Looks at this machine. What cannot be seen is left out: a goodbye without a reason is better than none.
pub async fn read() -> Signs {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let program = std::fs::read_link("/proc/self/exe");
    let jobs = tokio::time::timeout(ANSWER_MAX, jobs()).await;
    Signs {
        jobs: jobs.ok().and_then(Result::ok).unwrap_or_default(),
        unit: unit_of(&text("/proc/self/cgroup")),
        replaced: program.is_ok_and(|path| is_deleted(&path)),
        scheduled: text(SCHEDULED),
    }
}

/// proc_pid_exe(5): "If the pathname has been unlinked, the symbolic link will contain the string ' (deleted)'
/// appended to the original pathname."
fn is_deleted(program: &Path) -> bool {
    program.as_os_str().as_encoded_bytes().ends_with(b" (deleted)")
}

/// The unit in the text of `/proc/self/cgroup` (cgroups(7)): the last part of the path of the unified hierarchy.
fn unit_of(cgroup: &str) -> String {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let unit = path.rsplit('/').find(|part| part.ends_with(".service"));
    unit.unwrap_or_default().to_owned()
}

/// `ListJobs`' row: id, unit, type, state, and the paths of job and unit; org.freedesktop.systemd1(5).
type Row = (u32, String, String, String, OwnedObjectPath, OwnedObjectPath);

async fn jobs() -> zbus::Result<Vec<(String, String)>> {
    let bus = Connection::system().await?;
    let reply = bus
        .call_method(
            Some("org.freedesktop.systemd1"),
            "/org/freedesktop/systemd1",
            Some("org.freedesktop.systemd1.Manager"),
            "ListJobs",
            &(),
        )
        .await?;
    let rows: Vec<Row> = reply.body().deserialize()?;
    Ok(rows.into_iter().map(|(_, unit, kind, ..)| (unit, kind)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `jobs`: `unit type`, with commas.
    #[track_caller]
    fn check(jobs: &str, replaced: bool, scheduled: &str, expected: Departure) {
        let job = |line: &str| {
            let (unit, kind) = line.trim().split_once(' ').unwrap();
            (unit.to_owned(), kind.to_owned())
        };
        let signs = Signs {
            jobs: jobs.split(',').filter(|line| !line.is_empty()).map(job).collect(),
            unit: unit_of("0::/system.slice/muster-agent.service\n"),
            replaced,
            scheduled: scheduled.to_owned(),
        };
        assert_eq!(decide(&signs), expected);
    }

    #[test]
    fn a_reboot_is_told_by_the_queue_of_jobs() {
        let stopping = "muster-agent.service stop, reboot.target start, umount.target start";
        check(stopping, false, "", Departure::Reboot);
        check(stopping, true, "", Departure::Reboot);
        check("kexec.target start", false, "", Departure::Reboot);
        check("poweroff.target start, muster-agent.service stop", true, "", Departure::Stop);
        check("reboot.target stop", false, "", Departure::Stop);
    }

    #[test]
    fn a_new_program_is_an_upgrade_and_the_same_one_a_restart() {
        check("muster-agent.service restart", true, "", Departure::Upgrade);
        check("muster-agent.service restart", false, "", Departure::Restart);
        check("other.service restart, muster-agent.service stop", false, "", Departure::Stop);
        check("", true, "", Departure::Upgrade);
    }

    #[test]
    fn a_schedule_counts_only_when_systemd_is_silent() {
        let text = "USEC=1795000000000000\nWARN_WALL=1\nMODE=reboot\n";
        check("", false, text, Departure::Reboot);
        check("muster-agent.service stop", false, text, Departure::Stop);
        check("", false, "MODE=poweroff\n", Departure::Stop);
        check("", false, "", Departure::Stop);
    }

    #[test]
    fn the_kernel_names_the_unit_and_the_deleted_program() {
        assert_eq!(unit_of("0::/user.slice/user-0.slice/session-1.scope\n"), "");
        assert_eq!(unit_of("1:name=x:/\n0::/a.slice/b.service/sub\n"), "b.service");
        assert!(is_deleted(Path::new("/usr/bin/muster-agent (deleted)")));
        assert!(!is_deleted(Path::new("/usr/bin/muster-agent")));
    }
}
