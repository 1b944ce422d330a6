//! A unit on a host that logs numbered lines, and goes on with the next number after a reboot.
//!
//! Room: `tests/fleet`.  May use: `host`.  Used by: tests.

use super::host::Host;
use crate::rig::BLOCK_LINES;

/// The file it writes.
const FILE: &str = "/var/log/numbered.log";
/// About 200 bytes a line, as access logs have; the pause needs no process.
const SCRIPT: &str = r#"#!/bin/bash
set -eu
next=0
if [ -s "$1" ]; then
    read -r _ last _ < <(tail -n1 "$1")
    next=$((last + 1))
fi
mkfifo -m 600 "$RUNTIME_DIRECTORY/pause"
exec 3<>"$RUNTIME_DIRECTORY/pause" >>"$1"
filler='GET /wiki/Special:Version HTTP/1.1 200 48213 "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"'
while :; do
    printf 'line %d of block %d %s %s\n' "$next" "$((next / $2))" "$SRANDOM$SRANDOM" "$filler"
    next=$((next + 1))
    read -rt "$3" -u 3 _ || :
done
"#;

/// The numbered lines of one host.
pub struct Numbered<'a> {
    host: &'a Host,
}

impl Numbered<'_> {
    /// What the agent's configuration needs to read it, class `test`.
    pub const CONFIG: &'static str =
        "[[logs.file]]\npaths = [\"/var/log/numbered.log\"]\nclass = \"test\"\n";

    /// Begins with number 0, a line every `pause_s` seconds.
    ///
    /// # Panics
    /// When the unit does not start.
    pub fn begin<'a>(host: &'a Host, pause_s: f32) -> Numbered<'a> {
        host.write("/usr/local/bin/numbered", SCRIPT);
        let unit = format!(
            "[Unit]\nDescription=Numbered lines\n[Service]\n\
             ExecStart=/usr/local/bin/numbered {FILE} {BLOCK_LINES} {pause_s}\n\
             RuntimeDirectory=numbered\n[Install]\nWantedBy=multi-user.target\n"
        );
        host.write("/etc/systemd/system/numbered.service", &unit);
        host.sh("chmod 755 /usr/local/bin/numbered; systemctl enable --now numbered.service");
        Numbered { host }
    }

    /// The lines of a host that has begun.
    pub fn of(host: &Host) -> Numbered<'_> {
        Numbered { host }
    }

    /// Lines written so far.
    ///
    /// # Panics
    /// When the host is off.
    pub fn written(&self) -> u64 {
        let last = self.host.sh(&format!("tail -n1 {FILE}"));
        let number = last.split(' ').nth(1).and_then(|number| number.parse::<u64>().ok());
        number.map_or(0, |number| number + 1)
    }

    /// Stops writing; gives how many lines there are.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn end(&self) -> u64 {
        self.host.sh("systemctl disable --now numbered.service");
        self.written()
    }

    /// The host.
    pub fn host(&self) -> &Host {
        self.host
    }
}
