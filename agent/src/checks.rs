//! Questions about the host that are answered again and again.
//!
//! Room: `checks`.  May use: `host`, `facts`, `proto`.  Used by: the app, `main` (`checks list|run`).
//!
//! The path of one answer: `gather` reads → each check judges the [`Case`] → [`Board`] debounces → state records.
//! A new check is one file with its fixture, one `mod` line and one line in [`CHECKS`].
//!
//! Invariants
//! - Judging is pure: no file, no clock, no lock. What was read lies in the case, what was said before in
//!   [`Findings`].
//! - A check exists when its object exists. What vanishes is retired, not resolved.
//! - What cannot be read is UNKNOWN with the reason, for the checks that need it and for no other.
//! - (Absent on purpose: config files, printing, sending. They are the work of other rooms.)

pub mod board;
pub mod definition;
pub mod findings;
pub mod gather;
pub mod history;
pub mod own;
pub mod settings;

mod evidence;
mod filesystems;
mod nics;
mod words;

mod agent_certificate;
mod agent_logs;
mod agent_rss;
mod agent_spool;
mod agent_upstream;
mod cpu_load;
mod cpu_offline;
mod cpu_pressure;
mod cpu_steal;
mod cpu_vulnerable;
mod fs_errors_ext4;
mod fs_hung;
mod fs_inodes;
mod fs_mount_missing;
mod fs_readonly;
mod fs_space;
mod fs_tmpfs;
mod io_pressure;
mod kern_edac_ce;
mod kern_edac_ue;
mod kern_entropy;
mod kern_hung;
mod kern_taint;
mod mem_available;
mod mem_commit;
mod mem_corrupted;
mod mem_oom;
mod mem_pressure;
mod mem_size;
mod mem_slab;
mod mem_swap;
mod net_conntrack;
mod net_conntrack_drop;
mod net_duplex;
mod net_errors;
mod net_flap;
mod net_link;
mod net_listen_overflow;
mod net_retrans;
mod net_speed;
mod net_udp_buf;
mod pkg_reboot_required;
mod proc_dstate;
mod proc_files;
mod proc_pids;
mod proc_threads;
mod proc_zombies;
mod raid_md_degraded;
mod system_reboot;
mod time_offset;
mod time_step;
mod time_sync;
mod unit_crashloop;
mod unit_failed;

#[cfg(test)]
pub(crate) mod door;

use std::time::{Duration, Instant};

use muster_proto::verdict::{Urgency, Verdict};

pub use board::{Board, Kept};
pub use definition::{About, Check, Pace, Scale};
pub use findings::{Finding, Findings};
pub use gather::{Case, Gatherer};
pub use own::OwnFacts;
pub use settings::{Override, Settings};

use crate::facts::clock::Clock;
use crate::host::Host;
use findings::{Baselines, NoneEarlier};

/// Time between two rounds, unless the operator says otherwise.
pub const ROUND_EVERY: Duration = Duration::from_secs(15);

/// Every check, in the order of the manual.
pub const CHECKS: &[&dyn Check] = &[
    &fs_space::FsSpace,
    &fs_inodes::FsInodes,
    &fs_readonly::FsReadonly,
    &fs_hung::FsHung,
    &fs_mount_missing::FsMountMissing,
    &fs_tmpfs::FsTmpfs,
    &fs_errors_ext4::FsErrorsExt4,
    &raid_md_degraded::RaidMdDegraded,
    &mem_available::MemAvailable,
    &mem_pressure::MemPressure,
    &mem_oom::MemOom,
    &mem_swap::MemSwap,
    &mem_commit::MemCommit,
    &mem_slab::MemSlab,
    &mem_corrupted::MemCorrupted,
    &mem_size::MemSize,
    &cpu_pressure::CpuPressure,
    &cpu_load::CpuLoad,
    &cpu_steal::CpuSteal,
    &cpu_offline::CpuOffline,
    &cpu_vulnerable::CpuVulnerable,
    &io_pressure::IoPressure,
    &net_link::NetLink,
    &net_flap::NetFlap,
    &net_errors::NetErrors,
    &net_speed::NetSpeed,
    &net_duplex::NetDuplex,
    &net_conntrack::NetConntrack,
    &net_conntrack_drop::NetConntrackDrop,
    &net_listen_overflow::NetListenOverflow,
    &net_udp_buf::NetUdpBuf,
    &net_retrans::NetRetrans,
    &time_sync::TimeSync,
    &time_offset::TimeOffset,
    &time_step::TimeStep,
    &unit_failed::UnitFailed,
    &unit_crashloop::UnitCrashloop,
    &proc_files::ProcFiles,
    &proc_pids::ProcPids,
    &proc_threads::ProcThreads,
    &proc_zombies::ProcZombies,
    &proc_dstate::ProcDstate,
    &system_reboot::SystemReboot,
    &pkg_reboot_required::PkgRebootRequired,
    &kern_taint::KernTaint,
    &kern_hung::KernHung,
    &kern_entropy::KernEntropy,
    &kern_edac_ce::KernEdacCe,
    &kern_edac_ue::KernEdacUe,
    &agent_spool::AgentSpool,
    &agent_upstream::AgentUpstream,
    &agent_certificate::AgentCertificate,
    &agent_rss::AgentRss,
    &agent_logs::AgentLogs,
];

/// The check of that id.
pub fn find(id: &str) -> Option<&'static dyn Check> {
    CHECKS.iter().copied().find(|check| check.id() == id)
}

/// One line of the list of all checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Stable id.
    pub id: &'static str,
    /// A few words.
    pub summary: &'static str,
    /// What, why and what to do.
    pub manual: &'static str,
    /// First thing to do.
    pub runbook: &'static str,
    /// Who hears of it by default.
    pub urgency: Urgency,
    /// Default thresholds.
    pub scale: Scale,
    /// Default patience.
    pub pace: Pace,
}

/// Every check with its words, whether or not it exists on any host.
pub fn catalogue() -> Vec<Entry> {
    let entry = |check: &&dyn Check| {
        let About { id, summary, manual, runbook, urgency, scale, pace } = *check.about();
        Entry { id, summary, manual, runbook, urgency, scale, pace }
    };
    CHECKS.iter().map(entry).collect()
}

/// Asks every check once, without patience: what it finds now is what it says.
///
/// Reads the host twice, [`RATE_PAUSE`] apart, because a rate needs two samples. Blocks that long and at worst
/// as long as two [`crate::facts::Facts::read`]. The agent's own checks do not appear: nobody told their facts.
pub fn run_once(host: &Host, settings: &Settings) -> Vec<Finding> {
    let start = Instant::now();
    let mut gatherer = Gatherer::default();
    gatherer.gather(host, Clock::read(start), None);
    std::thread::sleep(RATE_PAUSE);
    judge_all(gatherer.gather(host, Clock::read(start), None), settings)
}

/// Exit code of `checks run`: 0 when everything found is ok, else 1.
pub fn exit_code(found: &[Finding]) -> u8 {
    u8::from(found.iter().any(|finding| finding.verdict != Verdict::Ok))
}

/// How many instances of a check were found; 0 means that it does not exist here.
pub fn instances_here(id: &str, found: &[Finding]) -> usize {
    found.iter().filter(|finding| finding.id == id).count()
}

/// Time between the two looks of [`run_once`].
pub const RATE_PAUSE: Duration = Duration::from_millis(500);

/// What every check says of one case, without anything said before.
pub fn judge_all(case: &Case, settings: &Settings) -> Vec<Finding> {
    let mut baselines = Baselines::default();
    let mut found = Vec::new();
    for check in CHECKS {
        let mut out = Findings::new(check.about(), settings, &NoneEarlier, &mut baselines);
        check.judge(case, &mut out);
        found.extend(out.into_found());
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_its_words() {
        let mut ids = BTreeSet::new();
        for entry in catalogue() {
            let id = entry.id;
            assert!(ids.insert(id), "{id} stands there twice");
            assert!(
                id.contains('.')
                    && id.bytes().all(|b| b.is_ascii_lowercase() || b"._0123456789".contains(&b)),
                "{id}"
            );
            assert!(
                entry.manual.len() > 60 && entry.manual.ends_with('.'),
                "{id}: {}",
                entry.manual
            );
            assert!(!entry.runbook.is_empty() && !entry.runbook.contains('\n'), "{id}");
            assert!(
                entry.summary.len() < 80 && !entry.summary.ends_with('.'),
                "{id}: {}",
                entry.summary
            );
            assert!(entry.pace.raise_evals > 0 && entry.pace.clear_evals > 0, "{id}");
            if let (Some(warn), Some(crit)) = (entry.scale.warn, entry.scale.crit) {
                assert_eq!(
                    warn < crit,
                    entry.scale.bad == definition::Bad::Above,
                    "{id}: {:?}",
                    entry.scale
                );
            }
        }
        assert!(ids.len() >= 50, "{}", ids.len());
    }

    #[test]
    fn an_empty_machine_has_no_checks_and_breaks_none() {
        let case = Case::unread(Clock::default());
        assert_eq!(judge_all(&case, &Settings::default()), []);
    }

    #[test]
    fn every_fact_unreadable_is_unknown_and_never_ok() {
        let mut case = Case::unread(Clock::default());
        let broken = || crate::host::HostError::malformed("it", "rubbish");
        case.facts.memory = Err(broken());
        case.facts.mounts = Err(broken());
        case.facts.units = Err(broken());
        case.processes = Err(broken());
        let found = judge_all(&case, &Settings::default());
        assert!(found.len() >= 10);
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Unknown), "{found:?}");
    }

    /// The floor of issue 2: this host, whatever it is, answers at least twenty questions by itself.
    #[test]
    fn the_live_host_answers_at_least_twenty_questions() {
        let found = run_once(&Host::live(), &Settings::default());
        for finding in &found {
            println!(
                "{:<7} {:<20} {:<28} {}",
                finding.verdict, finding.id, finding.instance, finding.message
            );
        }
        let ids: BTreeSet<&str> = found.iter().map(|finding| finding.id).collect();
        println!("{} findings of {} checks", found.len(), ids.len());
        assert!(ids.len() >= 20, "{} checks exist here: {ids:?}", ids.len());
    }
}
