//! Selectors of hosts and checks.

use muster_policy::selector::{Problem, Subject, matches_glob, parse_selector};

use super::{Target, lossy, texts};

pub(super) const TARGET: Target = Target { rounds: 60_000, ..Target::new("selector", run, seeds) };

fn run(bytes: &[u8]) {
    let text = lossy(bytes);
    match parse_selector(&text) {
        Ok(selector) => {
            selector.matches(&Subject::default());
            // Written out it may be longer than a selector may be.
            match parse_selector(&selector.to_string()) {
                Ok(again) => assert_eq!(again, selector),
                Err(error) => assert!(matches!(error.problem, Problem::TooLong { .. }), "{error}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    matches_glob(&text, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
}

fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "",
        "host=db*",
        "role=mariadb::core not datacenter=codfw",
        "tag=a,b os=\"Debian 13*\" state=live,late",
        "kernel=6.1.* agent_version=\"\" aggregator=agg?",
        "*a*a*a*a*a*a*a*b",
    ])
}
