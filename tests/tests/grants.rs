//! A restricted log class is read only with a token that names it, also when a peer holds the lines.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use muster_tests::rig::{AgentOptions, Answer, PATIENCE, Place, Rig, eventually, text};

/// The first one's certificate is for a name that resolves to loopback, so that HTTPS can be asked.
const PLACES: &[Place] = &[
    Place { name: "localhost", datacenter: "eqiad" },
    Place { name: "agg2.eqiad.test", datacenter: "eqiad" },
];
/// The class `test` is what agents of a rig give to their files.
const RESTRICTED: &str = "[class.test]\nrestricted = true\n";
const HOSTS: [&str; 2] = ["host1.test", "host2.test"];

/// A file with a new token of the first aggregator.
fn token(rig: &Rig, words: &[&str]) -> PathBuf {
    let made = rig.aggregators[0].verb(&[&["token", "create", "--host", "alice"], words].concat());
    let path = rig.dir().join("token");
    std::fs::write(&path, made).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn hosts(answer: &Answer) -> BTreeSet<String> {
    answer.lines().iter().map(|row| text(row, "host").to_owned()).collect()
}

#[test]
fn a_restricted_class_needs_its_name_in_the_token() {
    let rig = Rig::with(PLACES, RESTRICTED);
    let agent = |(place, name): (usize, &&str)| {
        let log = rig.dir().join(format!("{name}.log"));
        std::fs::write(&log, "a needle in a restricted class\n").unwrap();
        let logs = vec![log.display().to_string()];
        rig.agent(name, &AgentOptions { logs, only: Some(vec![place]), ..Default::default() })
    };
    let _agents: Vec<_> = HOSTS.iter().enumerate().map(agent).collect();
    let both: BTreeSet<String> = HOSTS.iter().map(|host| (*host).to_owned()).collect();
    let needle = ["logs", "needle", "--json"];
    let of_class = ["logs", "needle", "--json", "--class", "test"];
    eventually("root reads the lines of both aggregators", PATIENCE, || {
        (hosts(&rig.aggregators[0].ask(&needle)) == both).then_some(())
    });

    let ask =
        |role: &[&str], words: &[&str]| rig.aggregators[0].ask_https(&token(&rig, role), words);
    for role in
        [&["--role", "admin"][..], &["--role", "reader", "--class", "web", "--class", "test"]]
    {
        for words in [&needle[..], &of_class] {
            let answer = ask(role, words);
            assert_eq!(
                (answer.code, hosts(&answer)),
                (0, both.clone()),
                "{role:?}: {}",
                answer.err
            );
        }
    }
    for role in [&["--role", "reader"][..], &["--role", "reader", "--class", "web"]] {
        let answer = ask(role, &needle);
        assert_eq!((answer.code, hosts(&answer)), (0, BTreeSet::new()), "{role:?}: {}", answer.err);
        let answer = ask(role, &of_class);
        assert_eq!(answer.code, 4, "{role:?}: {}", answer.err);
        assert!(answer.err.contains("restricted"), "{role:?}: {}", answer.err);
        let answer = ask(role, &["hosts", "--json"]);
        assert_eq!(answer.array().len(), HOSTS.len(), "the rest is open: {}", answer.err);
    }
}
