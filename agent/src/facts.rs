//! What the machine said in one moment.
//!
//! Room: `facts`.  May use: `host`, `proto`.  Used by: `metrics`, `checks`.
//!
//! Each child has the plain struct, a pure `parse_…` that takes text, and a `read(&Host)`.
//!
//! Invariants
//! - Readers read, they do not judge.
//! - A fact that cannot be read is an error in its own field; the others are there.
//! - Bytes, seconds and counts are what the names say: units are converted here, once.

pub mod clock;
pub mod conntrack;
pub mod diskstats;
pub mod edac;
pub mod entropy;
pub mod ext4;
pub mod filefd;
pub mod fstab;
pub mod kernel;
pub mod load;
pub mod memory;
pub mod mounts;
pub mod nature;
pub mod netclass;
pub mod netdev;
pub mod netstat;
pub mod os;
pub mod pressure;
pub mod process;
pub mod processes;
pub mod raid;
pub mod reboot;
pub mod sockstat;
pub mod stat;
pub mod statfs;
pub mod timex;
pub mod uname;
pub mod units;
pub mod vmstat;

use crate::host::{Host, HostError};
use clock::Clock;

/// One fact, or why it is not known.
pub type Fact<T> = Result<T, HostError>;

/// What the machine said in one moment.
#[derive(Debug)]
pub struct Facts {
    /// When.
    pub clock: Clock,
    /// `/proc/loadavg`
    pub load: Fact<load::Load>,
    /// `/proc/meminfo`
    pub memory: Fact<memory::Memory>,
    /// `/proc/pressure/*`
    pub pressure: Fact<pressure::Pressure>,
    /// `/proc/self/mountinfo` and statfs(2) of each real filesystem
    pub mounts: Fact<Vec<mounts::Mount>>,
    /// `/proc/stat`
    pub stat: Fact<stat::Stat>,
    /// `/proc/vmstat`
    pub vmstat: Fact<vmstat::Vmstat>,
    /// `/proc/sys/net/netfilter`, `/proc/net/stat/nf_conntrack`
    pub conntrack: Fact<conntrack::Conntrack>,
    /// `/proc/sys/fs/file-nr`
    pub filefd: Fact<filefd::FileFd>,
    /// `/sys/class/net/*`
    pub netclass: Fact<Vec<netclass::NetDevice>>,
    /// `/proc/net/dev`
    pub netdev: Fact<Vec<netdev::NetCounters>>,
    /// adjtimex(2)
    pub timex: Fact<timex::Timex>,
    /// `/proc/sys/kernel/random`
    pub entropy: Fact<entropy::Entropy>,
    /// `/proc/net/sockstat`, `sockstat6`
    pub sockstat: Fact<sockstat::Sockstat>,
    /// `/proc/net/netstat`, `snmp`, `snmp6`
    pub netstat: Fact<netstat::Netstat>,
    /// `/proc/diskstats`
    pub diskstats: Fact<Vec<diskstats::Disk>>,
    /// uname(2)
    pub uname: Fact<uname::Uname>,
    /// `/etc/os-release`
    pub os: Fact<os::Os>,
    /// systemd's units
    pub units: Fact<units::Units>,
}

impl Facts {
    /// Asks the machine everything. Blocks, at worst for [`mounts::PATIENCE`] plus [`units::PATIENCE`].
    pub fn read(host: &Host, clock: Clock) -> Facts {
        Facts {
            clock,
            load: load::read(host),
            memory: memory::read(host),
            pressure: pressure::read(host),
            mounts: mounts::read(host, clock.mono),
            stat: stat::read(host),
            vmstat: vmstat::read(host),
            conntrack: conntrack::read(host),
            filefd: filefd::read(host),
            netclass: netclass::read(host),
            netdev: netdev::read(host),
            timex: timex::read(host),
            entropy: entropy::read(host),
            sockstat: sockstat::read(host),
            netstat: netstat::read(host),
            diskstats: diskstats::read(host),
            uname: uname::read(host),
            os: os::read(host),
            units: units::read(host),
        }
    }

    /// Nothing is known: every fact is [`HostError::Unread`]. Tests fill in what they need.
    pub fn unread(clock: Clock) -> Facts {
        Facts {
            clock,
            load: Err(HostError::Unread),
            memory: Err(HostError::Unread),
            pressure: Err(HostError::Unread),
            mounts: Err(HostError::Unread),
            stat: Err(HostError::Unread),
            vmstat: Err(HostError::Unread),
            conntrack: Err(HostError::Unread),
            filefd: Err(HostError::Unread),
            netclass: Err(HostError::Unread),
            netdev: Err(HostError::Unread),
            timex: Err(HostError::Unread),
            entropy: Err(HostError::Unread),
            sockstat: Err(HostError::Unread),
            netstat: Err(HostError::Unread),
            diskstats: Err(HostError::Unread),
            uname: Err(HostError::Unread),
            os: Err(HostError::Unread),
            units: Err(HostError::Unread),
        }
    }
}
