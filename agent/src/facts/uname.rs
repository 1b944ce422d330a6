//! The kernel's name for itself.

use crate::host::{Host, HostError};

/// uname(2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uname {
    /// `Linux`
    pub sysname: String,
    /// Host name.
    pub nodename: String,
    /// Kernel release, e.g. `6.1.0-28-amd64`.
    pub release: String,
    /// Kernel build.
    pub version: String,
    /// `x86_64`, …
    pub machine: String,
    /// NIS domain; `(none)` when not set.
    pub domainname: String,
}

/// Asks the kernel; in a recorded tree `proc/sys/kernel/*` stands for it.
///
/// # Errors
/// [`HostError::Call`], or of the recorded files.
pub fn read(host: &Host) -> Result<Uname, HostError> {
    let from_proc = |name: &str| host.read_line(&format!("proc/sys/kernel/{name}"));
    let domainname = from_proc("domainname").unwrap_or_else(|_| "(none)".to_owned());
    if !host.is_live() {
        return Ok(Uname {
            sysname: from_proc("ostype")?,
            nodename: from_proc("hostname")?,
            release: from_proc("osrelease")?,
            version: from_proc("version")?,
            machine: from_proc("arch")?,
            domainname,
        });
    }
    let told = nix::sys::utsname::uname()
        .map_err(|errno| HostError::Call { call: "uname", source: errno.into() })?;
    let text = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
    Ok(Uname {
        sysname: text(told.sysname()),
        nodename: text(told.nodename()),
        release: text(told.release()),
        version: text(told.version()),
        machine: text(told.machine()),
        domainname,
    })
}
