//! The connection tracking table.

use crate::host::{Host, HostError};

/// How full it is, and what happened to entries, summed over processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conntrack {
    /// Connections in the table.
    pub entries: u64,
    /// Room for connections.
    pub limit: u64,
    /// Counters; `None` when the kernel does not export them (`nf_conntrack_acct` modules missing).
    pub counters: Option<Counters>,
}

/// `/proc/net/stat/nf_conntrack`, summed over processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Entries searched and found.
    pub found: u64,
    /// Packets that cannot be tracked.
    pub invalid: u64,
    /// Packets already known.
    pub ignore: u64,
    /// Entries inserted.
    pub insert: u64,
    /// Insertions that failed.
    pub insert_failed: u64,
    /// Packets dropped because tracking failed.
    pub drop: u64,
    /// Entries dropped to make room.
    pub early_drop: u64,
    /// Lookups begun again because the table was resized.
    pub search_restart: u64,
}

/// Reads the table's size and counters.
///
/// # Errors
/// [`HostError::Missing`] when the module is not loaded.
pub fn read(host: &Host) -> Result<Conntrack, HostError> {
    let counters = match host.read("proc/net/stat/nf_conntrack") {
        Ok(text) => Some(parse_counters(&text)?),
        Err(error) if error.is_missing() => None,
        Err(error) => return Err(error),
    };
    Ok(Conntrack {
        entries: host.read_number("proc/sys/net/netfilter/nf_conntrack_count")?,
        limit: host.read_number("proc/sys/net/netfilter/nf_conntrack_max")?,
        counters,
    })
}

/// Sums the columns over processors.
///
/// # Shape
/// In: a header line, then a line of hexadecimal columns for each processor.
///
/// # Errors
/// [`HostError::Malformed`]. Columns we do not know are skipped.
pub fn parse_counters(text: &str) -> Result<Counters, HostError> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    let mut sum = Counters::default();
    for line in lines {
        for (name, word) in names.iter().zip(line.split_ascii_whitespace()) {
            let value = u64::from_str_radix(word, 16)
                .map_err(|_| HostError::malformed("nf_conntrack", line))?;
            let field = match *name {
                "found" => &mut sum.found,
                "invalid" => &mut sum.invalid,
                "ignore" => &mut sum.ignore,
                "insert" => &mut sum.insert,
                "insert_failed" => &mut sum.insert_failed,
                "drop" => &mut sum.drop,
                "early_drop" => &mut sum.early_drop,
                "search_restart" => &mut sum.search_restart,
                _ => continue,
            };
            *field = field.saturating_add(value);
        }
    }
    Ok(sum)
}
