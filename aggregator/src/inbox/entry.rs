//! One entry of the inbox's spool: who sent it, and the frame as it came.

/// One name. Bytes; its length stands in one byte.
const NAME_BYTES: usize = 255;

/// A parsed entry; borrows the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Host name of the certificate.
    pub host: &'a str,
    /// Datacenter the host stands in.
    pub datacenter: &'a str,
    /// The whole frame.
    pub frame: &'a [u8],
}

/// The bytes are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("inbox entry is malformed")]
pub struct NotAnEntry;

impl<'a> Entry<'a> {
    /// What stands before the frame. Names are cut at 255 bytes, between characters: no certificate name
    /// is longer, but what a host calls its datacenter may be.
    pub fn head(host: &str, datacenter: &str) -> Vec<u8> {
        let mut head = Vec::with_capacity(host.len() + datacenter.len() + 2);
        for name in [host, datacenter] {
            let name = &name[..name.floor_char_boundary(NAME_BYTES)];
            head.push(name.len() as u8);
            head.extend_from_slice(name.as_bytes());
        }
        head
    }

    /// Takes an entry apart.
    ///
    /// # Errors
    /// [`NotAnEntry`] when a name is cut short or not UTF-8.
    pub fn parse(bytes: &'a [u8]) -> Result<Entry<'a>, NotAnEntry> {
        let (host, rest) = name(bytes)?;
        let (datacenter, frame) = name(rest)?;
        Ok(Entry { host, datacenter, frame })
    }
}

fn name(bytes: &[u8]) -> Result<(&str, &[u8]), NotAnEntry> {
    let (len, rest) = bytes.split_first().ok_or(NotAnEntry)?;
    let (name, rest) = rest.split_at_checked(usize::from(*len)).ok_or(NotAnEntry)?;
    Ok((std::str::from_utf8(name).map_err(|_| NotAnEntry)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut bytes = Entry::head("db1.example.org", "eqiad");
        bytes.extend_from_slice(b"frame");
        let entry = Entry::parse(&bytes).unwrap();
        let expected = Entry { host: "db1.example.org", datacenter: "eqiad", frame: b"frame" };
        assert_eq!(entry, expected);
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_can_be_read() {
        let head = Entry::head("db1", &"ä".repeat(200));
        assert_eq!(Entry::parse(&head).unwrap().datacenter, "ä".repeat(127));
    }

    #[test]
    fn cut_short_at_every_length() {
        let head = Entry::head("db1", "eqiad");
        for len in 0..head.len() {
            assert_eq!(Entry::parse(&head[..len]), Err(NotAnEntry), "{len}");
        }
    }
}
