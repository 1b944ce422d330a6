//! Selectors of hosts and checks.

use muster_policy::selector::{Subject, matches_glob, parse_selector};

use super::{Target, lossy, texts};

pub(super) const TARGET: Target = Target { rounds: 20_000, ..Target::new("selector", run, seeds) };

fn run(bytes: &[u8]) {
    let text = lossy(bytes);
    match parse_selector(&text) {
        Ok(selector) => {
            selector.matches(&Subject::default());
            let again = parse_selector(&selector.to_string());
            assert_eq!(again.expect("what was read can be written"), selector);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    matches_glob(&text, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
}

fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "",
        "host=db*",
        "role=mariadb::core and not datacenter=codfw",
        "(tag=a or tag=b) and os=\"Debian 13\"",
        "check=fs.* instance=/srv",
        "((((((((host=a))))))))",
        "*a*a*a*a*a*a*a*b",
    ])
}
