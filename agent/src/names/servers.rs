//! Which name servers to ask, as resolv.conf(5) says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

/// Where the system says it.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// resolv.conf(5): "Up to MAXNS (currently 3)".
const SERVERS_MAX: usize = 3;
/// Bytes of the file that are read.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// Port of a name server.
const PORT: u16 = 53;

/// Name servers in order of preference, and how patient to be with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// Whom to ask.
    pub addresses: Vec<SocketAddr>,
    /// How long one of them may take. Default 5 s.
    pub timeout: Duration,
    /// How often each is asked. Default 2.
    pub attempts: u32,
}

impl Servers {
    /// As the system's configuration says at this moment.
    pub fn read() -> Servers {
        Servers::parse(&read_some(Path::new(RESOLV_CONF)))
    }

    /// Reads the text of a resolv.conf. Lines that mean nothing to us are skipped; without a server it
    /// is the one on this host (resolv.conf(5)).
    pub fn parse(text: &str) -> Servers {
        let mut servers =
            Servers { addresses: Vec::new(), timeout: Duration::from_secs(5), attempts: 2 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(parse_address);
                    servers.addresses.extend(address);
                }
                Some("options") => words.for_each(|word| servers.option(word)),
                _ => {}
            }
        }
        servers.addresses.truncate(SERVERS_MAX);
        if servers.addresses.is_empty() {
            servers.addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
        }
        servers
    }

    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        match name {
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }
}

/// An address; a link-local one may name its interface: `fe80::1%eth0`.
fn parse_address(word: &str) -> Option<SocketAddr> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, PORT));
    }
    let (address, interface) = word.split_once('%')?;
    let scope = nix::net::if_::if_nametoindex(interface).ok()?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope).into())
}

fn read_some(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[..bytes.len().min(FILE_BYTES_MAX)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let servers = Servers::parse(text);
        let each: Vec<String> = servers.addresses.iter().map(ToString::to_string).collect();
        let said =
            format!("{} {} s {}×", each.join(" "), servers.timeout.as_secs(), servers.attempts);
        assert_eq!(said, expected);
    }

    #[test]
    fn resolv_conf() {
        check("", "127.0.0.1:53 5 s 2×");
        check(
            "# a comment\nsearch example.org\nnameserver 10.0.0.1\n nameserver  fd00::1 # and words\n",
            "10.0.0.1:53 [fd00::1]:53 5 s 2×",
        );
        check(
            "nameserver fe80::1%lo\noptions timeout:1 attempts:9 rotate ndots:2\n",
            "[fe80::1%1]:53 1 s 5×",
        );
        check("nameserver nonsense\nnameserver fe80::1%nowhere\n", "127.0.0.1:53 5 s 2×");
        check(&"nameserver 10.0.0.1\n".repeat(9), "10.0.0.1:53 10.0.0.1:53 10.0.0.1:53 5 s 2×");
    }
}
