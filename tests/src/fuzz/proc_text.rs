//! Texts of the kernel and of Debian, by the pure parsers.

use muster_agent::facts::{
    conntrack, diskstats, filefd, fstab, load, memory, mounts, netdev, netstat, os, pressure,
    processes, sockstat, stat, statfs, timex, units, vmstat,
};

use super::{Target, lossy, proc_tree};

pub(super) const TARGET: Target = Target { rounds: 15_000, ..Target::new("proc-text", run, seeds) };

/// Parsers of one text; what they make of it does not matter here.
const PARSERS: &[fn(&str)] = &[
    |text| drop(conntrack::parse_counters(text)),
    |text| drop(diskstats::parse_diskstats(text)),
    |text| drop(filefd::parse_file_nr(text)),
    |text| drop(fstab::parse_fstab(text)),
    |text| drop(load::parse_loadavg(text)),
    |text| drop(memory::parse_meminfo(text)),
    |text| drop(mounts::parse_mountinfo(text.as_bytes())),
    |text| drop(netdev::parse_net_dev(text)),
    |text| drop(netstat::scan_pairs(text, &mut |_, _, _| {})),
    |text| drop(netstat::scan_snmp6(text, &mut |_, _, _| {})),
    |text| drop(os::parse_os_release(text)),
    |text| drop(pressure::parse_pressure(text)),
    |text| drop(processes::parse_process(text)),
    |text| drop(sockstat::parse_sockstat(text)),
    |text| drop(stat::parse_stat(text)),
    |text| drop(statfs::parse_recorded(text)),
    |text| drop(timex::parse_recorded(text)),
    |text| drop(units::parse_recorded(text)),
    |text| vmstat::scan_vmstat(text).for_each(drop),
];

fn run(bytes: &[u8]) {
    let text = lossy(bytes);
    PARSERS.iter().for_each(|parse| parse(&text));
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = proc_tree::recorded().into_iter().map(|(_, bytes)| bytes).collect();
    seeds.push(
        b"/dev/vda1 / ext4 errors=remount-ro 0 1\nUUID=a /srv\\040x xfs noauto,nofail\n".to_vec(),
    );
    seeds
}
