//! The last good answers on disk, so that an agent that starts while the name servers are down still
//! finds its aggregators.
//!
//! A text file, replaced whole; lines that cannot be read are skipped:
//! ```text
//! muster-names 1
//! srv  NAME PRIORITY WEIGHT PORT TARGET
//! host NAME ADDRESS ADDRESS …
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::srv::{SRV_RECORDS_MAX, Srv, is_host_name};

const HEAD: &str = "muster-names 1";
/// Bytes of the file that are read.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// SRV records by name.
    pub srv: BTreeMap<String, Vec<Srv>>,
    /// Addresses by host name.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl Kept {
    /// Reads `path`; a missing or foreign file says nothing.
    pub fn read(path: &Path) -> Kept {
        let bytes = std::fs::read(path).unwrap_or_default();
        Kept::parse(&String::from_utf8_lossy(&bytes[..bytes.len().min(FILE_BYTES_MAX)]))
    }

    /// Replaces `path`. It is a copy of what name servers say: it need not survive a crash.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, self.to_text())?;
        std::fs::rename(&fresh, path)
    }

    /// Reads the text of the file.
    pub fn parse(text: &str) -> Kept {
        let mut kept = Kept::default();
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return kept;
        }
        for line in lines {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words[..] {
                ["srv", name, priority, weight, port, target] => {
                    let numbers = (priority.parse(), weight.parse(), port.parse());
                    let (Ok(priority), Ok(weight), Ok(port @ 1..)) = numbers else { continue };
                    let records = kept.srv.entry(name.to_owned()).or_default();
                    if is_host_name(target) && records.len() < SRV_RECORDS_MAX {
                        records.push(Srv { priority, weight, port, target: target.to_owned() });
                    }
                }
                ["host", name, ref addresses @ ..] => {
                    let found = addresses.iter().filter_map(|word| word.parse().ok());
                    kept.hosts.insert(name.to_owned(), found.collect());
                }
                _ => {}
            }
        }
        kept.srv.retain(|_, records| !records.is_empty());
        kept.hosts.retain(|_, addresses| !addresses.is_empty());
        kept
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for (name, records) in &self.srv {
            for Srv { priority, weight, port, target } in records {
                let _ = writeln!(text, "srv {name} {priority} {weight} {port} {target}");
            }
        }
        for (name, addresses) in &self.hosts {
            let _ = write!(text, "host {name}");
            for address in addresses {
                let _ = write!(text, " {address}");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(Kept::parse(text).to_text(), format!("muster-names 1\n{expected}"));
    }

    #[test]
    fn what_is_written_is_read_and_nonsense_is_skipped() {
        let good = "srv _m._udp.a 10 5 7460 agg1.a\nsrv _m._udp.a 10 5 7460 agg2.a\n\
                    host agg1.a 10.0.0.1 fd00::1\n";
        check(&format!("muster-names 1\n{good}"), good);
        check(&format!("muster-names 2\n{good}"), "");
        check("", "");
        check(
            "muster-names 1\nsrv a 1 2 0 t\nsrv a 1 2 3 a_b\nsrv a 70000 2 3 t\nhost b x\nhost\nfoo\n",
            "",
        );
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names.list");
        assert_eq!(Kept::read(&path), Kept::default());
        let kept = Kept::parse("muster-names 1\nhost agg1.a 10.0.0.1\n");
        kept.write(&path).unwrap();
        assert_eq!(Kept::read(&path), kept);
    }
}
