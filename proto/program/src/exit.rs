//! Exit codes. The numbers from 64 on are those of sysexits.h(3head).

use std::error::Error;
use std::io;

/// A question was answered with "no": a check is bad, a spool is damaged.
pub const PROBLEM: u8 = 1;
/// Wrong words on the command line; clap says the same.
pub const USAGE: u8 = 2;
/// Something that is needed does not answer or cannot be had (EX_UNAVAILABLE).
pub const UNAVAILABLE: u8 = 69;
/// A bug of ours, or a system that does not give what every program gets (EX_SOFTWARE).
pub const BUG: u8 = 70;
/// Not permitted (EX_NOPERM). systemd does not start a unit again after it.
pub const DENIED: u8 = 77;
/// Wrong configuration, or not enrolled (EX_CONFIG). systemd does not start a unit again after it.
pub const CONFIG: u8 = 78;

/// The code of an error by what lies at its root: [`DENIED`] or what it is otherwise.
pub fn of_chain(error: &(dyn Error + 'static), otherwise: u8) -> u8 {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let system = error.downcast_ref::<io::Error>();
        if system.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            return DENIED;
        }
        cause = error.source();
    }
    otherwise
}

/// The code of an error of the operating system: [`DENIED`] or what it is otherwise.
pub fn of_system(error: &io::Error, otherwise: u8) -> u8 {
    if error.kind() == io::ErrorKind::PermissionDenied { DENIED } else { otherwise }
}
