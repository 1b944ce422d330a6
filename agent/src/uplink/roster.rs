//! Who may be dialled: what the configuration lists, and what SRV records list.

use std::collections::BTreeMap;
use std::net::IpAddr;

use muster_proto::failover::{Aggregator, Datacenter};

use crate::config::{AggregatorAddress, DatacenterConfig, Members};
use crate::names::Srv;

/// The datacenters in order of preference, with the newest list of each.
pub(super) struct Roster {
    datacenters: Vec<DatacenterConfig>,
    found: BTreeMap<String, Vec<Srv>>,
}

impl Roster {
    /// `found`: the last good lists of an earlier start, by SRV name.
    pub(super) fn new(
        datacenters: Vec<DatacenterConfig>,
        found: BTreeMap<String, Vec<Srv>>,
    ) -> Roster {
        Roster { datacenters, found }
    }

    /// The SRV names that are to be looked up.
    pub(super) fn srv_names(&self) -> Vec<String> {
        let names = self.datacenters.iter().filter_map(|datacenter| match &datacenter.members {
            Members::Srv(name) => Some(name.clone()),
            Members::Listed(_) => None,
        });
        names.collect()
    }

    /// Host names that the configuration lists; addresses are none.
    pub(super) fn listed_hosts(&self) -> Vec<String> {
        let listed = self.datacenters.iter().flat_map(|datacenter| match &datacenter.members {
            Members::Listed(listed) => listed.as_slice(),
            Members::Srv(_) => &[],
        });
        let hosts = listed.map(|address| address.host.clone());
        hosts.filter(|host| host.parse::<IpAddr>().is_err()).collect()
    }

    /// Takes a new list; says whether it differs from the one before.
    pub(super) fn learn(&mut self, name: &str, records: Vec<Srv>) -> bool {
        let before = self.found.insert(name.to_owned(), records);
        self.found.get(name) != before.as_ref()
    }

    /// Whether every datacenter has a list.
    pub(super) fn is_complete(&self) -> bool {
        (0..self.datacenters.len()).all(|place| !self.members(place).is_empty())
    }

    /// For the failover machine.
    pub(super) fn datacenters(&self) -> Vec<Datacenter> {
        let one = |(place, datacenter): (usize, &DatacenterConfig)| Datacenter {
            name: datacenter.name.clone(),
            aggregators: self
                .members(place)
                .into_iter()
                .map(|(aggregator, _)| aggregator)
                .collect(),
        };
        self.datacenters.iter().enumerate().map(one).collect()
    }

    /// Where an aggregator is reached.
    pub(super) fn target(&self, datacenter: usize, aggregator: &str) -> Option<AggregatorAddress> {
        let mut members = self.members(datacenter).into_iter();
        members.find(|(member, _)| member.name == aggregator).map(|(_, address)| address)
    }

    /// The name of an SRV target is the one that its certificate must carry.
    fn members(&self, datacenter: usize) -> Vec<(Aggregator, AggregatorAddress)> {
        match self.datacenters.get(datacenter).map(|datacenter| &datacenter.members) {
            None => Vec::new(),
            Some(Members::Listed(listed)) => listed
                .iter()
                .map(|address| (Aggregator::equal(&address.name), address.clone()))
                .collect(),
            Some(Members::Srv(name)) => {
                let records = self.found.get(name).map_or(&[][..], Vec::as_slice);
                records.iter().map(|srv| (candidate(srv), address(srv))).collect()
            }
        }
    }
}

fn candidate(srv: &Srv) -> Aggregator {
    Aggregator { name: srv.target.clone(), priority: srv.priority, weight: srv.weight }
}

fn address(srv: &Srv) -> AggregatorAddress {
    AggregatorAddress { name: srv.target.clone(), host: srv.target.clone(), port: srv.port }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(found: &[(&str, u16)]) -> Roster {
        let home = AggregatorAddress::parse("agg1.eqiad.test@10.0.0.1:7460").unwrap();
        let datacenters = vec![
            DatacenterConfig { name: "eqiad".into(), members: Members::Listed(vec![home]) },
            DatacenterConfig { name: "codfw".into(), members: Members::Srv("_m._udp.test".into()) },
        ];
        let mut roster = Roster::new(datacenters, BTreeMap::new());
        roster.learn("_m._udp.test", records(found));
        roster
    }

    fn records(found: &[(&str, u16)]) -> Vec<Srv> {
        let srv = |&(target, weight): &(&str, u16)| Srv {
            priority: 10,
            weight,
            port: 7461,
            target: target.to_owned(),
        };
        found.iter().map(srv).collect()
    }

    #[test]
    fn lists_of_both_kinds_become_one_roster() {
        let mut roster = roster(&[("agg1.codfw.test", 5), ("agg2.codfw.test", 1)]);
        let datacenters = roster.datacenters();
        assert_eq!(datacenters[0].aggregators, [Aggregator::equal("agg1.eqiad.test")]);
        let second = &datacenters[1].aggregators[0];
        assert_eq!((second.priority, second.weight), (10, 5));
        let target = roster.target(1, "agg2.codfw.test").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("agg2.codfw.test", 7461));
        assert_eq!(roster.target(0, "agg2.codfw.test"), None);
        assert!(roster.listed_hosts().is_empty(), "an address needs no look-up");
        assert!(
            !roster
                .learn("_m._udp.test", records(&[("agg1.codfw.test", 5), ("agg2.codfw.test", 1)]))
        );
        assert!(roster.learn("_m._udp.test", records(&[("agg1.codfw.test", 5)])));
    }

    #[test]
    fn a_name_without_an_answer_yet_is_not_complete() {
        assert!(!roster(&[]).is_complete());
        assert!(roster(&[("agg1.codfw.test", 1)]).is_complete());
    }
}
