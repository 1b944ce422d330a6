//! The aggregator's configuration: any text, in several files (a NUL byte ends one).

use muster_aggregator::config::Config;

use super::{Target, agent_config, texts};

pub(super) const TARGET: Target =
    Target { rounds: 15_000, ..Target::new("aggregator-config", run, seeds) };

fn run(bytes: &[u8]) {
    match Config::settle(&agent_config::sources(bytes)) {
        Ok(config) => drop(config.class("system")),
        Err(complaints) => {
            assert!(!complaints.0.is_empty());
            assert!(!complaints.to_string().is_empty());
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "name = \"agg1\"\ndatacenter = \"eqiad\"\n",
        "name = \"agg1\"\ndatacenter = \"eqiad\"\nquic = \"[::]:7460\"\nhttps = \"0.0.0.0:7461\"\n\
         [[peer]]\nname = \"agg2\"\ndatacenter = \"codfw\"\naddress = \"agg2:7460\"\n",
        "name = \"a\"\ndatacenter = \"b\"\n[class.auth]\nretention = \"90d\"\nrestricted = true\n\
         [class.default]\nretention = \"30d\"\n\0[store]\ninbox_bytes = \"4GiB\"\nseal_age = \"15m\"\n",
    ])
}
