//! Sockets in use by protocol.

use crate::host::{Host, HostError};

/// One number, e.g. `TCP`, `inuse`, 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `sockets`, `TCP`, `UDP6` …
    pub protocol: String,
    /// `used`, `inuse`, `orphan`, `mem` (pages) …
    pub key: String,
    /// The number.
    pub value: u64,
}

/// Both files, in the kernel's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sockstat {
    /// One for each number.
    pub entries: Vec<Entry>,
}

impl Sockstat {
    /// The number `key` of `protocol`.
    pub fn value(&self, protocol: &str, key: &str) -> Option<u64> {
        let mut entries = self.entries.iter();
        entries.find(|e| e.protocol == protocol && e.key == key).map(|entry| entry.value)
    }
}

/// Reads `proc/net/sockstat` and, where IPv6 is on, `sockstat6`.
///
/// # Errors
/// [`HostError`] of the files, or [`HostError::Malformed`].
pub fn read(host: &Host) -> Result<Sockstat, HostError> {
    let mut sockstat = parse_sockstat(&host.read("proc/net/sockstat")?)?;
    match host.read("proc/net/sockstat6") {
        Ok(text) => sockstat.entries.extend(parse_sockstat(&text)?.entries),
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(error),
    }
    Ok(sockstat)
}

/// Reads lines `TCP: inuse 4 orphan 0 …`.
///
/// # Errors
/// [`HostError::Malformed`] for a line without a colon or a key without a number.
pub fn parse_sockstat(text: &str) -> Result<Sockstat, HostError> {
    let mut entries = Vec::with_capacity(24);
    for line in text.lines() {
        let wrong = || HostError::malformed("sockstat", line);
        let (protocol, rest) = line.split_once(':').ok_or_else(wrong)?;
        let mut words = rest.split_ascii_whitespace();
        while let Some(key) = words.next() {
            let value = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
            entries.push(Entry { protocol: protocol.to_owned(), key: key.to_owned(), value });
        }
    }
    Ok(Sockstat { entries })
}
