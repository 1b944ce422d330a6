//! What the operator wants mounted: `/etc/fstab`.

use crate::host::{Host, HostError};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Device, label, UUID or remote path.
    pub source: String,
    /// Where it belongs, escapes undone.
    pub mountpoint: String,
    /// Type of filesystem.
    pub fstype: String,
    /// Options in order.
    pub options: Vec<String>,
}

impl Line {
    /// Whether the option stands there.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    /// Whether the host is not well without it: not `noauto`, `nofail` or mounted on demand.
    pub fn is_required(&self) -> bool {
        !["noauto", "nofail", "x-systemd.automount"].iter().any(|option| self.has(option))
    }
}

/// Reads `etc/fstab`.
///
/// # Errors
/// [`HostError`] of the file.
pub fn read(host: &Host) -> Result<Vec<Line>, HostError> {
    Ok(parse_fstab(&host.read("etc/fstab")?))
}

/// Reads the lines of filesystems with a place; swap, `none`, comments and broken lines are skipped.
///
/// # Source
/// fstab(5).
pub fn parse_fstab(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let source = words.next().filter(|word| !word.starts_with('#'))?;
        let mountpoint = words.next().filter(|word| word.starts_with('/'))?;
        let fstype = words.next().filter(|word| *word != "swap")?;
        let options = words.next().unwrap_or("defaults").split(',').map(str::to_owned).collect();
        let mut mountpoint = unescape(mountpoint);
        while mountpoint.len() > 1 && mountpoint.ends_with('/') {
            mountpoint.pop();
        }
        Some(Line { source: unescape(source), mountpoint, fstype: fstype.to_owned(), options })
    };
    text.lines().filter_map(line).collect()
}

/// Undoes `\040` and its like.
fn unescape(word: &str) -> String {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] = rest {
            out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = after;
        } else {
            out.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_place_are_kept() {
        let lines = parse_fstab(
            "# UNCONFIGURED\nUUID=1 / ext4 errors=remount-ro 0 1\nUUID=2 none swap sw 0 0\n\
             \nnfs:/x /srv/my\\040files/ nfs nofail,_netdev\n/dev/sdb /data ext4\nbroken\n",
        );
        let seen: Vec<_> =
            lines.iter().map(|line| (line.mountpoint.as_str(), line.is_required())).collect();
        assert_eq!(seen, [("/", true), ("/srv/my files", false), ("/data", true)]);
    }
}
