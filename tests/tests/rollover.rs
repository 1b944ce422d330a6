//! The certificate authority is replaced while lines flow: announced, switched, retired. Everybody comes to trust
//! the next one and gets a certificate of it; no line is lost or doubled; the old one opens nothing any more.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::path::{Path, PathBuf};

use muster_link::Identity;
use muster_tests::rig::{
    Agent, AgentOptions, Flow, PAIR, PATIENCE, Rig, Rotation, Tally, Writer, eventually, text,
};

fn identities(rig: &Rig, agents: &[Agent]) -> Vec<PathBuf> {
    let aggregators = rig.aggregators.iter().map(|one| one.state_dir().join("identity"));
    aggregators.chain(agents.iter().map(|one| one.state_dir().join("identity"))).collect()
}

/// Waits until every identity on disk is as wanted.
#[track_caller]
fn all(dirs: &[PathBuf], what: &str, is_so: impl Fn(&Identity) -> bool) {
    eventually(what, PATIENCE, || {
        dirs.iter().all(|dir| Identity::load(dir).is_ok_and(|found| is_so(&found))).then_some(())
    });
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn the_authority_is_replaced_while_lines_flow() {
    let rig = Rig::new(PAIR);
    let path = rig.dir().join("numbered.log");
    let options = AgentOptions { logs: vec![path.display().to_string()], ..Default::default() };
    let mut agents = vec![
        rig.agent("db1.eqiad.test", &options),
        rig.agent("db2.eqiad.test", &AgentOptions::default()),
    ];
    let dirs = identities(&rig, &agents);
    let mut flow = Flow::begin(Writer::new(&path, Rotation::None));
    let first = &rig.aggregators[0];
    let refused = |words: &[&str], why: &str| {
        let answer = first.try_verb(words);
        assert_eq!(answer.code, 2, "{}", answer.err);
        assert!(answer.err.contains(why), "{}", answer.err);
    };

    refused(&["ca", "rotate", "switch"], "must be announced");
    first.verb(&["ca", "rotate", "announce"]);
    refused(&["ca", "rotate", "announce"], "the authority is announced");
    all(&dirs, "everybody trusts both", |found| found.roots().count() == 2 && found.is_current());
    let kept = rig.dir().join("kept");
    copy(&dirs[3], &kept);

    let token = first.token("agent");
    let serials: Vec<Vec<u8>> =
        dirs.iter().map(|dir| Identity::load(dir).unwrap().me().serial.clone()).collect();
    first.verb(&["ca", "rotate", "switch", "--spread", "1s"]);
    all(&dirs, "everybody has a certificate of the new one", |found| {
        found.is_current() && !serials.contains(&found.me().serial)
    });

    // A token of before the switch opens the door after it, and a revocation counts on both aggregators.
    let mut late = rig.unenrolled("db3.eqiad.test", &AgentOptions::default());
    let words = ["enroll", "--token", &token, "--aggregator", &first.address()];
    let (code, said) = late.verb(&words);
    assert_eq!(code, 0, "{said}");
    late.start();
    eventually("the newcomer is live", PATIENCE, || {
        (text(&late.status()?, "uplink") == "live").then_some(())
    });
    first.verb(&["cert", "revoke", "db3.eqiad.test"]);
    eventually("the newcomer is revoked", PATIENCE, || {
        text(&late.status()?, "uplink_error").contains("revoked").then_some(())
    });
    late.stop();

    first.verb(&["ca", "rotate", "retire"]);
    all(&dirs, "everybody trusts the new one only", |found| found.roots().count() == 1);
    let shown = first.verb(&["ca", "show", "--json"]);
    assert!(shown.contains("\"stage\": \"steady\""), "{shown}");

    // Who slept through it is told why it must enrol again.
    agents[1].stop();
    std::fs::remove_dir_all(&dirs[3]).unwrap();
    copy(&kept, &dirs[3]);
    agents[1].start();
    eventually("the old certificate is refused", PATIENCE, || {
        text(&agents[1].status()?, "uplink_error").contains("was retired").then_some(())
    });

    let written = flow.end();
    Tally::settle(&rig, written, PATIENCE);
    println!("{written} lines, each exactly once");
    let status = agents[0].status().unwrap();
    assert_eq!(text(&status, "uplink"), "live");
    assert_eq!(status["switches"], 0, "the link was left: {status}");
}
