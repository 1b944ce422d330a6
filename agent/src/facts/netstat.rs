//! Counters of the network protocols: `netstat`, `snmp`, `snmp6`.

use crate::host::{Host, HostError};

/// One counter, e.g. `TcpExt`, `ListenDrops`, 0. Some are signed (`Tcp MaxConn` is -1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `Ip`, `Tcp`, `TcpExt`, `Udp6` …
    pub protocol: String,
    /// As the kernel says it.
    pub key: String,
    /// The number.
    pub value: i64,
}

/// All three files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Netstat {
    /// One for each counter.
    pub entries: Vec<Entry>,
}

impl Netstat {
    /// The counter `key` of `protocol`.
    pub fn value(&self, protocol: &str, key: &str) -> Option<i64> {
        let mut entries = self.entries.iter();
        entries.find(|e| e.protocol == protocol && e.key == key).map(|entry| entry.value)
    }
}

/// A reader of counters: protocol, key, value.
pub type Each<'a> = &'a mut dyn FnMut(&str, &str, i64);

/// Reads all three files and keeps every counter.
///
/// # Errors
/// [`HostError`] of the files, or [`HostError::Malformed`]. A kernel without IPv6 has no `snmp6`.
pub fn read(host: &Host) -> Result<Netstat, HostError> {
    let mut entries = Vec::with_capacity(256);
    scan(host, &mut |protocol, key, value| {
        entries.push(Entry { protocol: protocol.to_owned(), key: key.to_owned(), value });
    })?;
    Ok(Netstat { entries })
}

/// Reads all three files and hands out every counter without keeping it.
///
/// # Errors
/// As [`read`].
pub fn scan(host: &Host, each: Each<'_>) -> Result<(), HostError> {
    scan_pairs(&host.read("proc/net/netstat")?, each)?;
    scan_pairs(&host.read("proc/net/snmp")?, each)?;
    match host.read("proc/net/snmp6") {
        Ok(text) => scan_snmp6(&text, each),
        Err(error) if error.is_missing() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Goes over pairs of lines: `TcpExt: KeyA KeyB`, then `TcpExt: 1 2`.
///
/// # Errors
/// [`HostError::Malformed`] when the second line does not match the first.
pub fn scan_pairs(text: &str, each: Each<'_>) -> Result<(), HostError> {
    let mut lines = text.lines();
    while let (Some(keys), Some(values)) = (lines.next(), lines.next()) {
        let wrong = || HostError::malformed("netstat", values);
        let (protocol, keys) = keys.split_once(':').ok_or_else(wrong)?;
        let values = values.strip_prefix(protocol).and_then(|rest| rest.strip_prefix(':'));
        let mut values = values.ok_or_else(wrong)?.split_ascii_whitespace();
        for key in keys.split_ascii_whitespace() {
            let value = values.next().and_then(parse_counter).ok_or_else(wrong)?;
            each(protocol, key, value);
        }
    }
    Ok(())
}

/// Goes over lines `Ip6InReceives 3`; the protocol is everything up to the first `6`.
///
/// # Errors
/// [`HostError::Malformed`] for a line that is not two words. Keys without a `6` are skipped.
pub fn scan_snmp6(text: &str, each: Each<'_>) -> Result<(), HostError> {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(value)) = (words.next(), words.next().and_then(parse_counter)) else {
            return Err(HostError::malformed("snmp6", line));
        };
        if let Some(at) = name.find('6') {
            let (protocol, key) = name.split_at(at + 1);
            each(protocol, key, value);
        }
    }
    Ok(())
}

/// Counters are unsigned 64 bits but for a few signed ones; f64 and i64 both lose nothing that counts.
fn parse_counter(word: &str) -> Option<i64> {
    word.parse::<i64>().ok().or_else(|| word.parse::<u64>().ok().map(u64::cast_signed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[(&str, &str, i64)]>) {
        let mut told = Vec::new();
        let outcome = scan_pairs(text, &mut |protocol, key, value| {
            told.push((protocol.to_owned(), key.to_owned(), value));
        });
        let told: Vec<_> = told.iter().map(|(p, k, v)| (p.as_str(), k.as_str(), *v)).collect();
        assert_eq!(outcome.ok().map(|()| told.as_slice()), expected);
    }

    #[test]
    fn keys_meet_their_values() {
        check(
            "Tcp: MaxConn InErrs\nTcp: -1 7\n",
            Some(&[("Tcp", "MaxConn", -1), ("Tcp", "InErrs", 7)]),
        );
        check("Tcp: A B\nTcp: 1\n", None);
        check("Tcp: A\nUdp: 1\n", None);
        check("Tcp: A\nTcp: x\n", None);
        check("", Some(&[]));
    }
}
