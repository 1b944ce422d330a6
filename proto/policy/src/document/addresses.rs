//! Addresses as people write them: a host with its port, an aggregator, a place to listen on.
//!
//! Each `Err` is a sentence for the hint of a complaint.

use std::net::{Ipv6Addr, SocketAddr};

use super::parse_host_name;

/// One aggregator: `name:port`, or `name@address:port` where DNS does not know the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregatorAddress {
    /// The name its certificate must carry.
    pub name: String,
    /// What to resolve: the name itself, or an address.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

impl AggregatorAddress {
    /// Parses `name:port` or `name@address:port`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<AggregatorAddress, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not name:port, e.g. \"agg1.eqiad.example.org:7460\", or name@address:port"
            )
        };
        let (name, at) = text.split_once('@').map_or((None, text), |(name, at)| (Some(name), at));
        let (host, port) = split_port(at).ok_or_else(wrong)?;
        let name = parse_host_name(name.unwrap_or(&host)).map_err(|_| wrong())?;
        Ok(AggregatorAddress { name, host, port })
    }
}

/// `host:port`; an IPv6 address stands in brackets. Given back as it was written.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_host_and_port(text: &str) -> Result<String, String> {
    let wrong = || format!("\"{text}\" is not host:port, e.g. \"agg2.eqiad.example.org:7460\"");
    split_port(text).map(|_| text.to_owned()).ok_or_else(wrong)
}

/// An address to listen on.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("\"{text}\" is not an address such as \"127.0.0.1:9100\""))
}

/// Host without brackets, and port.
fn split_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    match host.strip_prefix('[') {
        Some(rest) => {
            let host = rest.strip_suffix(']')?;
            // A zone (RFC 4007 §11) says on which link an fe80:: address lies.
            let address = host.split_once('%').map_or(host, |(address, _)| address);
            address.parse::<Ipv6Addr>().ok()?;
            Some((host.to_owned(), port))
        }
        None => Some((parse_host_name(host).ok()?, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str, u16)>) {
        let parsed = AggregatorAddress::parse(text).ok();
        let parsed = parsed.as_ref().map(|a| (a.name.as_str(), a.host.as_str(), a.port));
        assert_eq!(parsed, expected, "{text}");
    }

    #[test]
    fn aggregators() {
        check("agg1.example.org:7460", Some(("agg1.example.org", "agg1.example.org", 7460)));
        check("agg1@127.0.0.1:7461", Some(("agg1", "127.0.0.1", 7461)));
        check("agg1@[::1]:7461", Some(("agg1", "::1", 7461)));
        check("agg1@[fe80::1%eth0]:7461", Some(("agg1", "fe80::1%eth0", 7461)));
        for wrong in ["agg1", "agg1:", "agg1:0", "agg1:99999", ":7460", "a b:1", "agg1@:1", ""] {
            check(wrong, None);
        }
        for wrong in ["a@b@c:1", "a@::1:1", "[::1]:1", "a@[::1:1", "a@[b]:1", "@b:1"] {
            check(wrong, None);
        }
    }

    #[test]
    fn hosts_with_ports_and_places_to_listen_on() {
        assert_eq!(parse_host_and_port("agg2:7460"), Ok("agg2:7460".into()));
        assert_eq!(parse_host_and_port("[::1]:7460"), Ok("[::1]:7460".into()));
        for wrong in ["agg2", "agg2:0", ":1", "a@b:1", "::1:7460"] {
            assert!(parse_host_and_port(wrong).is_err(), "{wrong}");
        }
        assert!(parse_address("[::]:7460").is_ok() && parse_address("7460").is_err());
    }
}
