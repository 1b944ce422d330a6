//! `[uplink]`: where the records go, in order of preference.

use std::time::Duration;

use muster_policy::document::{AggregatorAddress, Given, Section, parse_host_name, parse_word};

/// `[uplink]`
#[derive(Debug, Clone)]
pub struct UplinkConfig {
    /// Datacenters in order of preference, home first.
    pub datacenters: Vec<DatacenterConfig>,
    /// How long every aggregator of a datacenter must have failed before the next one is tried.
    /// Default 1 s.
    pub away_after: Duration,
    /// How long home must have answered before the agent returns to it. Default 2 min.
    pub home_stable: Duration,
    /// Time between two sign-of-life probes of home while away. Default 30 s.
    pub probe_interval: Duration,
    /// The return home is spread over this span, so that a fleet does not arrive at once.
    /// Default 5 min; `"0s"` returns at once.
    pub home_spread: Duration,
    /// Time between two heartbeats. Default 10 s.
    pub heartbeat: Duration,
}

/// `[[uplink.datacenter]]`
#[derive(Debug, Clone)]
pub struct DatacenterConfig {
    /// Its name.
    pub name: String,
    /// Its aggregators.
    pub members: Members,
}

/// The aggregators of a datacenter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// `aggregators`; the order does not matter.
    Listed(Vec<AggregatorAddress>),
    /// `srv`: the name of their SRV records (RFC 2782). Port, weight and priority come with them; the
    /// name of a target is the one that its certificate must carry.
    Srv(String),
}

pub(super) fn settle(section: Section<'_>) -> UplinkConfig {
    let datacenters: Vec<_> =
        section.sections("datacenter").into_iter().filter_map(settle_datacenter).collect();
    let span = |key: &'static str, default_s: u64| {
        section.span(key).unwrap_or(Duration::from_secs(default_s))
    };
    let uplink = UplinkConfig {
        away_after: span("away_after", 1),
        home_stable: span("home_stable", 120),
        probe_interval: span("probe_interval", 30),
        home_spread: span("home_spread", 300),
        heartbeat: span("heartbeat", 10).max(Duration::from_secs(1)),
        datacenters,
    };
    section.finish();
    uplink
}

fn settle_datacenter(section: Section<'_>) -> Option<DatacenterConfig> {
    let hint = "say which datacenter these aggregators stand in";
    let name = section.required("name", parse_word, hint);
    let listed = section.strings("aggregators");
    let members = match section.parse("srv", parse_srv) {
        Some(_) if listed.is_some() => {
            section.complain(
                "`aggregators` and `srv` in one datacenter",
                "keep one: a list here, or SRV records".to_owned(),
            );
            None
        }
        Some(srv) => Some(Members::Srv(srv)),
        None => {
            if listed.as_ref().is_none_or(Vec::is_empty) {
                section.missing("aggregators", "list them as [\"name:7460\", …], or name their SRV records: srv = \"_muster._udp.…\"");
            }
            let each = listed.unwrap_or_default();
            Some(Members::Listed(each.iter().filter_map(aggregator).collect()))
        }
    };
    section.finish();
    Some(DatacenterConfig { name: name?, members: members? })
}

/// `_service._udp.domain`, RFC 2782.
fn parse_srv(text: &str) -> Result<String, String> {
    let wrong = || format!("\"{text}\" is not a name such as \"_muster._udp.codfw.example.org\"");
    let (service, domain) = text.split_once("._udp.").ok_or_else(wrong)?;
    let service = service.strip_prefix('_').ok_or_else(wrong)?;
    parse_host_name(service)
        .and(parse_host_name(domain.strip_suffix('.').unwrap_or(domain)))
        .map_err(|_| wrong())?;
    Ok(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase())
}

fn aggregator(given: &Given<'_, String>) -> Option<AggregatorAddress> {
    AggregatorAddress::parse(&given.value)
        .map_err(|why| given.complain("wrong value of `uplink.datacenter.aggregators`", why))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_srv_records() {
        assert_eq!(parse_srv("_Muster._udp.a.example."), Ok("_muster._udp.a.example".to_owned()));
        for wrong in ["", "_muster._tcp.a", "muster._udp.a", "_muster._udp.", "_a b._udp.c"] {
            assert!(parse_srv(wrong).is_err(), "{wrong}");
        }
    }
}
