//! What kind of machine this is: the part of [`HostFacts`] that the machine knows itself.

use muster_proto::clock::Utc;
use muster_proto::state::HostFacts;

use crate::host::Host;

/// Reads the machine's own part; datacenter, role and tags are the operator's and stay empty. What
/// cannot be read stays empty or 0: a host without an os-release is still a host.
pub fn read(host: &Host) -> HostFacts {
    let uname = super::uname::read(host).unwrap_or_default();
    let stat = super::stat::read(host).unwrap_or_default();
    let boot_id = host.read_line("proc/sys/kernel/random/boot_id").unwrap_or_default();
    let booted_at = Utc(i64::try_from(stat.boot_time_s).unwrap_or(0).saturating_mul(1_000_000));
    let mut facts = HostFacts {
        os: super::os::read(host).unwrap_or_default().pretty_name,
        kernel: uname.release,
        machine: uname.machine,
        cpus: u32::try_from(stat.cpus.len()).unwrap_or(u32::MAX),
        memory_bytes: super::memory::read(host).unwrap_or_default().total_bytes(),
        boot_id,
        booted_at,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..HostFacts::default()
    };
    if host.is_live() {
        ask_sysinfo(&mut facts);
    }
    facts
}

/// sysinfo knows about control groups: in a container the machine is as large as its limits.
fn ask_sysinfo(facts: &mut HostFacts) {
    let wanted = sysinfo::MemoryRefreshKind::nothing().with_ram();
    let Ok(mut system) = sysinfo::System::new() else { return };
    system.refresh_memory_specifics(wanted);
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    let memory_bytes = system.total_memory().min(limit);
    if memory_bytes > 0 {
        facts.memory_bytes = memory_bytes;
    }
    if facts.os.is_empty() {
        facts.os = sysinfo::System::long_os_version().unwrap_or_default();
    }
    if let Ok(cpus) = std::thread::available_parallelism() {
        facts.cpus = u32::try_from(cpus.get()).unwrap_or(u32::MAX);
    }
}
