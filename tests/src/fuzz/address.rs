//! The address of an aggregator in the agent's configuration.

use muster_agent::config::AggregatorAddress;

use super::{Target, lossy, texts};

pub(super) const TARGET: Target = Target { rounds: 60_000, ..Target::new("address", run, seeds) };

fn run(bytes: &[u8]) {
    if let Ok(address) = AggregatorAddress::parse(&lossy(bytes)) {
        assert!(address.port > 0 && !address.name.is_empty() && !address.host.is_empty());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    texts(&["agg1.example.org:7460", "agg1@127.0.0.1:7461", "agg1@[::1]:7461", "a@b", ":1"])
}
