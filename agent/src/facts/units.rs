//! systemd's units, asked over the system bus.

mod ask;

use std::time::Duration;

use crate::host::{Host, HostError};

pub use ask::Bus;

/// How long one call waits for systemd.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// One unit in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// With its suffix, e.g. `ssh.service`.
    pub name: String,
    /// `loaded`, `not-found`, `masked`, `error`, …
    pub load_state: String,
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`
    pub active_state: String,
    /// Depends on the kind of unit, e.g. `running`, `auto-restart`.
    pub sub_state: String,
    /// `Type=` of a service or mount; empty otherwise.
    pub kind: String,
    /// `NRestarts` of a service: automatic restarts since it was last started by hand.
    pub restarts: Option<u32>,
}

/// When a timer last fired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timer {
    /// With its suffix.
    pub name: String,
    /// Microseconds since 1970; 0 = never.
    pub last_trigger_us: u64,
}

/// What a socket unit has seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Socket {
    /// With its suffix.
    pub name: String,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open.
    pub current: u64,
    /// Connections refused.
    pub refused: u64,
}

/// systemd in one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Units {
    /// Its version, e.g. `252.30-1~deb12u2`.
    pub version: String,
    /// `running`, `degraded`, `maintenance`, `starting`, …
    pub system_state: String,
    /// `kvm`, `lxc`, …; `none` on bare metal.
    pub virtualization: String,
    /// Every unit in memory, in systemd's order.
    pub units: Vec<Unit>,
    /// Loaded timers.
    pub timers: Vec<Timer>,
    /// Loaded sockets.
    pub sockets: Vec<Socket>,
}

impl Units {
    /// The unit of that name.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.name == name)
    }

    /// Units that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(|unit| unit.active_state == "failed")
    }
}

/// Asks systemd; in a recorded tree `recorded/units` stands for it.
///
/// # Errors
/// [`HostError::Missing`] on a host without a system bus, [`HostError::Bus`] when systemd does not
/// answer within [`PATIENCE`], or of the recorded file.
pub fn read(host: &Host) -> Result<Units, HostError> {
    if host.is_live() {
        return host.bus.units(PATIENCE);
    }
    parse_recorded(&host.read("recorded/units")?)
}

/// Reads a recorded list.
///
/// # Shape
/// Lines `version V`, `state S`, `virtualization V`, `timer NAME LAST_US`,
/// `socket NAME ACCEPTED CURRENT REFUSED`, `unit NAME LOAD ACTIVE SUB [TYPE [RESTARTS]]`.
///
/// # Errors
/// [`HostError::Malformed`].
pub fn parse_recorded(text: &str) -> Result<Units, HostError> {
    let mut units = Units::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let wrong = || HostError::malformed("recorded units", line);
        let number = |word: &str| word.parse::<u64>().map_err(|_| wrong());
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["version", version] => units.version = (*version).to_owned(),
            ["state", state] => units.system_state = (*state).to_owned(),
            ["virtualization", kind] => units.virtualization = (*kind).to_owned(),
            ["timer", name, last] => {
                let name = (*name).to_owned();
                units.timers.push(Timer { name, last_trigger_us: number(last)? });
            }
            ["socket", name, accepted, current, refused] => units.sockets.push(Socket {
                name: (*name).to_owned(),
                accepted: number(accepted)?,
                current: number(current)?,
                refused: number(refused)?,
            }),
            ["unit", name, load, active, sub, kind @ ..] => units.units.push(Unit {
                name: (*name).to_owned(),
                load_state: (*load).to_owned(),
                active_state: (*active).to_owned(),
                sub_state: (*sub).to_owned(),
                kind: kind.first().copied().unwrap_or_default().to_owned(),
                restarts: kind.get(1).and_then(|word| word.parse().ok()),
            }),
            _ => return Err(wrong()),
        }
    }
    Ok(units)
}
