//! Certificates change while lines flow: a renewal, a revocation and a new enrolment lose no line and
//! double none.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::time::{Duration, Instant};

use muster_link::ca::{Ca, HOST_TTL, Wish};
use muster_link::identity::{Fresh, new_key_and_csr};
use muster_link::{Identity, Role, system_clock};
use muster_tests::rig::{
    Agent, AgentOptions, Flow, PAIR, PATIENCE, Rig, Rotation, Tally, Writer, eventually, text,
};

const NAME: &str = "db1.eqiad.test";

/// A certificate that is due for renewal: 28 of its 30 days are over.
fn install_old(rig: &Rig, agent: &Agent) {
    let ca = Ca::open(&rig.aggregators[0].state_dir().join("ca")).unwrap();
    let key = new_key_and_csr(NAME).unwrap();
    let wish = Wish { csr: &key.csr, name: NAME, role: Role::Agent, ttl: HOST_TTL };
    let issued_at = system_clock()().before(Duration::from_secs(28 * 86_400));
    let chain = ca.issue(&wish, issued_at).unwrap().chain;
    let roots = [ca.certificate().to_vec()];
    let fresh = Fresh { key_pem: &key.key_pem, chain: &chain, roots: &roots };
    Identity::install(&agent.state_dir().join("identity"), &fresh).unwrap();
}

fn serial(agent: &Agent) -> Option<Vec<u8>> {
    let identity = Identity::load(&agent.state_dir().join("identity")).ok()?;
    Some(identity.me().serial.clone())
}

/// Live, with an ack that is younger than this moment.
#[track_caller]
fn is_live(agent: &Agent, what: &str) {
    let began = Instant::now();
    eventually(what, PATIENCE, || {
        let status = agent.status()?;
        let acked =
            status["last_ack_s"].as_u64().is_some_and(|ago| ago <= began.elapsed().as_secs());
        (text(&status, "uplink") == "live" && acked).then_some(())
    });
    println!("{what}: {:.2} s", began.elapsed().as_secs_f64());
}

#[test]
fn renewal_revocation_and_enrolment_lose_no_line() {
    let mut rig = Rig::new(PAIR);
    let path = rig.dir().join("numbered.log");
    let options = AgentOptions { logs: vec![path.display().to_string()], ..Default::default() };
    let mut agent = rig.unenrolled(NAME, &options);
    install_old(&rig, &agent);
    let old = serial(&agent);
    let mut flow = Flow::begin(Writer::new(&path, Rotation::None));
    agent.start();
    eventually("renewed while lines flow", PATIENCE, || {
        (serial(&agent)? != old.clone()?).then_some(())
    });
    is_live(&agent, "live after the renewal");

    // The next connection is made with the new certificate.
    let serving = rig.place_of(text(&agent.status().unwrap(), "aggregator"));
    rig.aggregators[serving].kill();
    is_live(&agent, "at the other aggregator with the new certificate");
    rig.aggregators[serving].start();

    rig.aggregators[0].verb(&["cert", "revoke", NAME]);
    eventually("revoked while lines flow", PATIENCE, || {
        text(&agent.status()?, "uplink_error").contains("revoked").then_some(())
    });
    let kept = flow.written();
    agent.stop();
    std::fs::remove_dir_all(agent.state_dir().join("identity")).unwrap();
    agent.enrol(&rig.aggregators[0]);
    agent.start();
    is_live(&agent, "enrolled again");

    let written = flow.end();
    assert!(written > kept, "lines went on while it was locked out");
    Tally::settle(&rig, written, PATIENCE);
    println!("{written} lines, each exactly once");
    agent.stop();
}
