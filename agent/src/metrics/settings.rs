//! What the collectors leave out. The defaults are those of Debian's package.

use regex::Regex;

/// Regular expressions as node_exporter's flags have them. What matches an `exclude` is left out;
/// `fields` name what is put out.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--collector.filesystem.mount-points-exclude`. Debian's also hides `/run`, `/mnt`, `/media`.
    pub mounts_exclude: Regex,
    /// `--collector.filesystem.fs-types-exclude`
    pub fstypes_exclude: Regex,
    /// `--collector.diskstats.device-exclude`: partitions and RAM disks.
    pub disks_exclude: Regex,
    /// `--collector.netdev.device-exclude`. Debian's hides the loopback device.
    pub netdev_exclude: Regex,
    /// `--collector.netclass.ignored-devices`: nothing.
    pub netclass_exclude: Regex,
    /// `--collector.netstat.fields`
    pub netstat_fields: Regex,
    /// `--collector.vmstat.fields`
    pub vmstat_fields: Regex,
    /// `--collector.systemd.unit-exclude`. Debian's also hides targets.
    pub units_exclude: Regex,
}

const MOUNTS: &str =
    r"^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
const FSTYPES: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|\
    hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|\
    squashfs|sysfs|tracefs)$";
const DISKS: &str = r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme[0-9]+n[0-9]+p)[0-9]+$";
const NETSTAT: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|\
    Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|\
    TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|\
    Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";
const VMSTAT: &str = "^(oom_kill|pgpg|pswp|pg.*fault).*";
const UNITS: &str = r"^(.+\.(automount|device|mount|scope|slice|target))$";

impl Default for Settings {
    fn default() -> Settings {
        let regex = |pattern| Regex::new(pattern).expect("the patterns above are constants");
        Settings {
            mounts_exclude: regex(MOUNTS),
            fstypes_exclude: regex(FSTYPES),
            disks_exclude: regex(DISKS),
            netdev_exclude: regex("^lo$"),
            netclass_exclude: regex("^$"),
            netstat_fields: regex(NETSTAT),
            vmstat_fields: regex(VMSTAT),
            units_exclude: regex(UNITS),
        }
    }
}
