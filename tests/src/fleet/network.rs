//! The network of a fleet: a bridge for each datacenter, routes between them, and faults.
//!
//! Room: `tests/fleet`.  May use: `stage`.  Used by: `fleet`.
//!
//! Datacenter D (1, 2, …) is `10.D.0.0/24` and `fd00:D::/64`; its gateway, the stage, is `.1` and `::1`;
//! host N is `.N` and `::N` (N in hexadecimal). The stage is the backbone: it routes between the sites.
//! The kernel hands bridged packets to nftables too, so one chain sees every packet between two hosts,
//! of one site or of two. There is no netem in every kernel: faults are loss in percent, 100 is a cut.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::stage::Stage;

/// Hosts of one datacenter. The last byte of an address, without network, gateway and broadcast.
const HOSTS_MAX: u8 = 253;

/// One host's place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Number of the datacenter, from 1.
    pub site: u8,
    /// Number of the host in it, from 2.
    pub host: u8,
}

impl Address {
    /// Its IPv4 address.
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.site, 0, self.host)
    }

    /// Its IPv6 address.
    pub fn v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, self.site.into(), 0, 0, 0, 0, 0, self.host.into())
    }

    /// The gateway of its datacenter.
    pub fn gateway(self) -> Address {
        Address { host: 1, ..self }
    }

    /// Name of the bridge of its datacenter.
    pub fn bridge(self) -> String {
        bridge(self.site)
    }
}

/// One end of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End<'a> {
    /// One host, by its name.
    Host(&'a str),
    /// All hosts of a datacenter.
    Site(&'a str),
    /// Everybody who is not the other end.
    Others,
}

/// A fault that was made; [`super::Fleet::heal`] takes it back.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault(u32);

/// The addresses of one end in both families, as nftables writes them.
#[derive(Debug, Clone)]
pub(super) struct Prefixes {
    /// An address or a prefix.
    pub v4: String,
    /// An address or a prefix.
    pub v6: String,
}

impl Prefixes {
    fn of(&self, family: &str) -> &str {
        if family == "ip6" { &self.v6 } else { &self.v4 }
    }
}

struct Rule {
    id: u32,
    /// `None`: all others.
    ends: [Option<Prefixes>; 2],
    loss_percent: u8,
}

/// Bridges and faults.
pub(super) struct Network {
    /// Datacenters by name, and how many hosts each has had; its number is its place and one.
    sites: Vec<(String, u8)>,
    rules: Vec<Rule>,
    next: u32,
}

impl Network {
    pub(super) fn new(stage: &Stage) -> Network {
        stage.run(
            "nft",
            &["-f", "-"],
            "add table inet fleet\n\
             add chain inet fleet faults { type filter hook forward priority 0; }\n",
        );
        Network { sites: Vec::new(), rules: Vec::new(), next: 0 }
    }

    /// The next free address in a datacenter, which is made when it is the first.
    pub(super) fn admit(&mut self, stage: &Stage, datacenter: &str) -> Address {
        let place = self.sites.iter().position(|(name, _)| name == datacenter);
        let place = place.unwrap_or_else(|| {
            self.sites.push((datacenter.to_owned(), 0));
            let site = u8::try_from(self.sites.len()).expect("less than 256 datacenters");
            raise_bridge(stage, site);
            self.sites.len() - 1
        });
        let hosts = &mut self.sites[place].1;
        assert!(*hosts < HOSTS_MAX, "{datacenter} is full");
        *hosts += 1;
        Address {
            site: u8::try_from(place + 1).expect("less than 256 datacenters"),
            host: *hosts + 1,
        }
    }

    /// The prefixes of a datacenter.
    pub(super) fn site(&self, name: &str) -> Prefixes {
        let place = self.sites.iter().position(|(site, _)| site == name);
        let site = place.unwrap_or_else(|| panic!("no datacenter {name:?}")) + 1;
        Prefixes { v4: format!("10.{site}.0.0/24"), v6: format!("fd00:{site:x}::/64") }
    }

    /// Drops `loss_percent` of the packets between two ends, both ways.
    pub(super) fn spoil(
        &mut self,
        stage: &Stage,
        ends: [Option<Prefixes>; 2],
        loss_percent: u8,
    ) -> Fault {
        assert!(ends.iter().any(Option::is_some), "a fault has an end that is somebody");
        assert!((1..=100).contains(&loss_percent), "a share of packets");
        self.next += 1;
        self.rules.push(Rule { id: self.next, ends, loss_percent });
        self.write(stage);
        Fault(self.next)
    }

    /// Takes a fault back.
    pub(super) fn heal(&mut self, stage: &Stage, fault: &Fault) {
        self.rules.retain(|rule| rule.id != fault.0);
        self.write(stage);
    }

    /// Takes every fault back.
    pub(super) fn heal_all(&mut self, stage: &Stage) {
        self.rules.clear();
        self.write(stage);
    }

    /// Writes all rules anew, in one transaction.
    fn write(&self, stage: &Stage) {
        let mut text = "flush chain inet fleet faults\n".to_owned();
        for rule in &self.rules {
            let chance = match rule.loss_percent {
                100 => String::new(),
                percent => format!("numgen random mod 100 < {percent} "),
            };
            let [a, b] = &rule.ends;
            for (from, to) in [(a, b), (b, a)] {
                for family in ["ip", "ip6"] {
                    let of = |end: &Option<Prefixes>| Some(end.as_ref()?.of(family).to_owned());
                    let (from, to) = (of(from), of(to));
                    let ends = matching(family, from.as_deref(), to.as_deref());
                    let _ = writeln!(text, "add rule inet fleet faults {ends} {chance}drop");
                }
            }
        }
        stage.run("nft", &["-f", "-"], &text);
    }
}

fn matching(family: &str, from: Option<&str>, to: Option<&str>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("{family} saddr {from} {family} daddr {to}"),
        (Some(one), None) => format!("{family} saddr {one} {family} daddr != {one}"),
        (None, Some(one)) => format!("{family} saddr != {one} {family} daddr {one}"),
        (None, None) => String::new(),
    }
}

fn bridge(site: u8) -> String {
    format!("site{site}")
}

fn raise_bridge(stage: &Stage, site: u8) {
    let gateway = Address { site, host: 1 };
    let name = bridge(site);
    let text = format!(
        "link add {name} type bridge\nlink set {name} up\naddr add {}/24 dev {name}\n\
         addr add {}/64 dev {name} nodad\n",
        gateway.v4(),
        gateway.v6(),
    );
    stage.run("ip", &["-batch", "-"], &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_all_others_leaves_the_inside_of_the_other_alone() {
        let site = Some("10.1.0.0/24");
        assert_eq!(matching("ip", site, None), "ip saddr 10.1.0.0/24 ip daddr != 10.1.0.0/24");
        assert_eq!(matching("ip", None, site), "ip saddr != 10.1.0.0/24 ip daddr 10.1.0.0/24");
    }

    #[test]
    fn a_host_has_an_address_in_both_families() {
        let address = Address { site: 2, host: 17 };
        assert_eq!(
            (address.v4().to_string(), address.v6().to_string()),
            ("10.2.0.17".into(), "fd00:2::11".into())
        );
        assert_eq!(address.gateway().v4().to_string(), "10.2.0.1");
    }
}
