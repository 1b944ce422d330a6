//! The word to systemd: ready, stopping, alive, and a line for `systemctl status`. sd_notify(3).
//!
//! The protocol is a datagram of `KEY=value` lines to a unix socket. Without `NOTIFY_SOCKET` nothing is
//! said, so that a program runs the same on a terminal. What cannot be told is not an error: systemd
//! draws its conclusions.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, or nobody.
#[derive(Debug, Default)]
pub struct Notify {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// Whom the environment names: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` of `WATCHDOG_PID` (sd_watchdog_enabled(3)).
    pub fn from_environment() -> Notify {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Notify::default() };
        let ours =
            std::env::var("WATCHDOG_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        let span = std::env::var("WATCHDOG_USEC").ok().and_then(|span| span.parse().ok());
        let watchdog = span.filter(|span| ours && *span > 0).map(Duration::from_micros);
        Notify::to(&path, watchdog).unwrap_or_default()
    }

    /// A manager that listens on `path`; a leading `@` is the abstract namespace (unix(7)).
    ///
    /// # Errors
    /// No socket can be had, or the path is none.
    pub fn to(path: &OsStr, watchdog: Option<Duration>) -> io::Result<Notify> {
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Notify { manager: Some((socket, address)), watchdog })
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.manager.is_some()
    }

    /// How long the manager waits for [`alive`](Self::alive) before it kills; `None`: for ever.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Everything is open and served.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// A stop has begun.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Nothing hangs.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// One line for people.
    pub fn status(&self, text: &str) {
        self.say(&format!("STATUS={}", text.replace('\n', " ")));
    }

    fn say(&self, words: &str) {
        if let Some((socket, address)) = &self.manager {
            // A full socket of the manager: it will hear the next one.
            let _ = socket.send_to_addr(words.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn every_word_arrives_as_systemd_expects_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::to(path.as_os_str(), None).unwrap();
        notify.ready();
        notify.status("two\nlines");
        notify.alive();
        notify.stopping();
        let all: Vec<String> = (0..4).map(|_| heard(&manager)).collect();
        assert_eq!(all, ["READY=1", "STATUS=two lines", "WATCHDOG=1", "STOPPING=1"]);
    }

    #[test]
    fn an_abstract_address_works_and_nobody_is_fine() {
        let name = format!("muster-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        Notify::to(OsStr::new(&format!("@{name}")), None).unwrap().ready();
        assert_eq!(heard(&manager), "READY=1");
        Notify::default().ready();
        Notify::to(OsStr::new("/nowhere/at/all"), None).unwrap().ready();
    }
}
