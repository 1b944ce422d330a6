//! The CA's two lists: what was issued and what was revoked. Text, one certificate a line.
//!
//! Room: `link`.  Used by: `ca`.
//!
//! ```text
//! issued.list    serial(hex) issued_at_us expires_at_us role name     appended, synced
//! revoked.list   serial(hex) revoked_at_us name                       appended, synced
//! ```
//! A torn last line (crash while appending) has no newline and is ignored: its certificate was
//! never handed out, because the line is synced before.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use muster_proto::clock::Utc;

use crate::crypto::{hex, unhex};
use crate::peer::Role;

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Serial number, big-endian, without leading zeros.
    pub serial: Vec<u8>,
    /// When.
    pub issued_at: Utc,
    /// Until when it is good.
    pub expires_at: Utc,
    /// As what.
    pub role: Role,
    /// To whom.
    pub name: String,
}

/// A certificate that was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Serial number, big-endian, without leading zeros.
    pub serial: Vec<u8>,
    /// When it was revoked.
    pub revoked_at: Utc,
    /// Whose it was; `-` when only the serial was known.
    pub name: String,
}

impl Issued {
    pub(super) fn line(&self) -> String {
        let Issued { issued_at, expires_at, role, name, .. } = self;
        format!("{} {} {} {role} {name}\n", hex(&self.serial), issued_at.0, expires_at.0)
    }

    pub(super) fn parse(line: &str) -> Option<Issued> {
        let words: Vec<&str> = line.split(' ').collect();
        let [serial, issued_at, expires_at, role, name] = words[..] else { return None };
        Some(Issued {
            serial: unhex(serial)?,
            issued_at: Utc(issued_at.parse().ok()?),
            expires_at: Utc(expires_at.parse().ok()?),
            role: role.parse().ok()?,
            name: name.to_owned(),
        })
    }
}

impl Revoked {
    pub(super) fn line(&self) -> String {
        format!("{} {} {}\n", hex(&self.serial), self.revoked_at.0, self.name)
    }

    pub(super) fn parse(line: &str) -> Option<Revoked> {
        let words: Vec<&str> = line.split(' ').collect();
        let [serial, revoked_at, name] = words[..] else { return None };
        Some(Revoked {
            serial: unhex(serial)?,
            revoked_at: Utc(revoked_at.parse().ok()?),
            name: name.to_owned(),
        })
    }
}

/// Reads every whole line. A missing file has none; a line that cannot be read is an error, because
/// leaving one out could let a revoked host in.
pub(super) fn read<T>(path: &Path, parse: impl Fn(&str) -> Option<T>) -> io::Result<Vec<T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.split('\n').enumerate().filter(|(_, line)| !line.is_empty());
    let bad = |number| {
        io::Error::new(io::ErrorKind::InvalidData, format!("line {number} cannot be read"))
    };
    lines.map(|(number, line)| parse(line).ok_or_else(|| bad(number + 1))).collect()
}

/// Adds lines and syncs. A torn line of an earlier crash is cut off first.
pub(super) fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let bytes = std::fs::read(path)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1) as u64;
    file.set_len(whole)?;
    io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    crate::files::sync_parent(path)
}
