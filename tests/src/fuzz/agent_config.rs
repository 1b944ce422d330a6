//! The agent's configuration: any text, in several files (a NUL byte ends one).

use muster_agent::config::Config;
use muster_policy::document::SourceText;

use super::{Target, lossy, texts};

pub(super) const TARGET: Target =
    Target { rounds: 15_000, ..Target::new("agent-config", run, seeds) };

fn run(bytes: &[u8]) {
    match Config::settle(&sources(bytes)) {
        Ok(config) => drop(config.datacenter().len()),
        Err(complaints) => {
            assert!(!complaints.0.is_empty());
            assert!(!complaints.to_string().is_empty());
        }
    }
}

/// The files that a text with NUL bytes stands for.
pub(super) fn sources(bytes: &[u8]) -> Vec<SourceText> {
    let source = |text: &[u8]| SourceText { name: "muster.toml".to_owned(), text: lossy(text) };
    bytes.split(|byte| *byte == 0).map(source).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "",
        "state_dir = \"/var/lib/muster\"\n[host]\nname = \"db1\"\ndatacenter = \"eqiad\"\n\
         role = \"mariadb::core\"\ntags = [\"a\", \"b\"]\n[metrics]\ninterval = \"15s\"\n\
         listen = \"127.0.0.1:9100\"\n[spool]\nlogs = \"8GiB\"\n",
        "[uplink]\naway_after = \"1s\"\nheartbeat = \"10s\"\n[[uplink.datacenter]]\n\
         name = \"eqiad\"\naggregators = [\"agg1:7460\", \"agg2@[::1]:7461\"]\n",
        "[[logs.file]]\npaths = [\"/var/log/*.log\"]\nclass = \"system\"\n\0\
         [[logs.file]]\npaths = [\"/srv/**/error.log\"]\n[logs.journald]\nenabled = true\n",
        "[checks.\"fs.space\"]\nwarn = \"10%\"\nowner = \"dba\"\nenabled = false\n",
    ])
}
