//! Certificates: each way to be refused has its own sentence on both sides; a revocation reaches live
//! connections at every aggregator; certificates renew themselves without a restart.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::time::{Duration, Instant};

use muster_link::ca::{Ca, HOST_TTL, Wish};
use muster_link::identity::{Fresh, new_key_and_csr};
use muster_link::token::Terms;
use muster_link::{Identity, Role, system_clock};
use muster_proto::clock::Utc;
use muster_tests::rig::{Agent, AgentOptions, Aggregator, PATIENCE, Place, Rig, eventually, text};

const DAY: Duration = Duration::from_secs(86_400);

/// The first has the authority, the second has not.
const TWO: &[Place] = &[
    Place { name: "agg1.eqiad.test", datacenter: "eqiad" },
    Place { name: "agg2.eqiad.test", datacenter: "eqiad" },
];

fn now() -> Utc {
    system_clock()()
}

fn authority(rig: &Rig) -> Ca {
    Ca::open(&rig.aggregators[0].state_dir().join("ca")).unwrap()
}

/// Gives `agent` a certificate of `signer` that was issued at `at` for `ttl`, and trust in `root`.
fn install(agent: &Agent, signer: &Ca, root: &Ca, at: Utc, ttl: Duration) {
    let key = new_key_and_csr(&agent.name).unwrap();
    let wish = Wish { csr: &key.csr, name: &agent.name, role: Role::Agent, ttl };
    let chain = signer.issue(&wish, at).unwrap().chain;
    let roots = [root.certificate().to_vec()];
    let fresh = Fresh { key_pem: &key.key_pem, chain: &chain, roots: &roots };
    Identity::install(&agent.state_dir().join("identity"), &fresh).unwrap();
}

/// An agent that was never enrolled and talks to one aggregator.
fn newcomer(rig: &Rig, name: &str, place: usize) -> Agent {
    rig.unenrolled(name, &AgentOptions { only: Some(vec![place]), ..Default::default() })
}

/// Starts the agent and waits until both sides have said why it is not let in.
#[track_caller]
fn refused(agent: &mut Agent, aggregator: &Aggregator, ours: &str, theirs: &str) {
    let before = aggregator.log().len();
    agent.start();
    both_say(agent, aggregator, before, ours, theirs);
    agent.stop();
}

#[track_caller]
fn both_say(agent: &Agent, aggregator: &Aggregator, before: usize, ours: &str, theirs: &str) {
    let name = &agent.name;
    let mut said = String::new();
    let mut logged = String::new();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let status = agent.status().unwrap_or_default();
        said = text(&status, "uplink_error").to_owned();
        logged = aggregator.log()[before..].to_owned();
        if said.contains(ours) && logged.contains(theirs) {
            return println!("{name}: {said}");
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    panic!(
        "{name}: wanted {ours:?}, agent says {said:?}; wanted {theirs:?}, aggregator logged:\n{logged}"
    );
}

fn wrong_certificates(rig: &Rig) {
    let aggregator = &rig.aggregators[0];
    let real = authority(rig);
    let other = Ca::init(&rig.dir().join("other-ca"), "Somebody else", now()).unwrap();

    let mut agent = newcomer(rig, "stranger.test", 0);
    install(&agent, &other, &real, now(), HOST_TTL);
    let issuer = "certificate: it is not signed by a trusted CA";
    refused(
        &mut agent,
        aggregator,
        &format!("agg1.eqiad.test: the peer refuses our {issuer}"),
        &format!("we refuse the peer's {issuer}"),
    );

    let mut agent = newcomer(rig, "sceptic.test", 0);
    install(&agent, &real, &other, now(), HOST_TTL);
    refused(
        &mut agent,
        aggregator,
        &format!("we refuse the peer's {issuer}"),
        &format!("the peer refuses our {issuer}"),
    );

    let mut agent = newcomer(rig, "late.test", 0);
    install(&agent, &real, &real, now().before(DAY * 40), HOST_TTL);
    refused(
        &mut agent,
        aggregator,
        "the peer refuses our certificate: it expired",
        "we refuse the peer's certificate: it expired at ",
    );

    let address = aggregator.address().replace("agg1.", "agg9.");
    let uplink = format!(
        "[uplink]\n[[uplink.datacenter]]\nname = \"eqiad\"\naggregators = [\"{address}\"]\n"
    );
    let options = AgentOptions { uplink: Some(uplink), ..Default::default() };
    let mut agent = rig.enrolled("astray.test", &options);
    refused(
        &mut agent,
        aggregator,
        "it is for another name: agg1.eqiad.test, not agg9.eqiad.test",
        "the peer refuses our certificate: it is for another name",
    );
}

fn no_certificate_and_another_name(rig: &Rig) {
    let agent = newcomer(rig, "bare.test", 0);
    let (code, out) = agent.verb(&["run"]);
    assert_eq!(code, 78, "{out}");
    assert!(out.contains("not enrolled") && out.contains("token create"), "a hint: {out}");

    let (real, agent) = (authority(rig), newcomer(rig, "renamed.test", 0));
    install(&agent, &real, &real, now(), HOST_TTL);
    let config = std::fs::read_to_string(agent.config()).unwrap();
    std::fs::write(agent.config(), config.replace("renamed.test\"", "other.test\"")).unwrap();
    let (code, out) = agent.verb(&["run"]);
    assert_eq!(code, 78, "{out}");
    assert!(out.contains("the certificate is for renamed.test"), "{out}");
}

/// A token that is refused: `why` stands in the agent's words and in the aggregator's log.
#[track_caller]
fn token_refused(rig: &Rig, name: &str, token: &str, why: &str) {
    let aggregator = &rig.aggregators[0];
    let before = aggregator.log().len();
    let agent = newcomer(rig, name, 0);
    let address = aggregator.address();
    let (code, out) = agent.verb(&["enroll", "--token", token, "--aggregator", &address]);
    assert_eq!(code, 69, "{out}");
    assert!(out.contains(why), "the agent should say {why:?}: {out}");
    eventually("the aggregator logs it too", PATIENCE, || {
        aggregator.log()[before..].contains(why).then_some(())
    });
    assert!(!agent.state_dir().join("identity/host.key").exists(), "nothing is left behind");
    println!("{}", out.trim());
}

fn tokens(rig: &Rig) {
    let ca = authority(rig);
    let terms = |uses, expires_at| Terms {
        role: Role::Agent,
        names: "*.eqiad.test".to_owned(),
        uses,
        expires_at,
    };
    let token = |terms| ca.create_token(terms, now()).unwrap().to_string();
    let tomorrow = now().after(DAY);
    let old = token(terms(1, now().before(Duration::from_secs(1))));
    token_refused(rig, "new1.eqiad.test", &old, "the token has expired");
    token_refused(rig, "new1.eqiad.test", &token(terms(0, tomorrow)), "the token is used up");
    let elsewhere = "the token is not good for the name new1.codfw.test";
    token_refused(rig, "new1.codfw.test", &token(terms(1, tomorrow)), elsewhere);
    let aggregator = rig.aggregators[0].token("aggregator");
    let role = "the token is for an aggregator, not for an agent";
    token_refused(rig, "new1.eqiad.test", &aggregator, role);
    // It was not used up by that, and buys what it is for.
    let spare = rig.dir().join("spare");
    let joining = rig.aggregators[1].config();
    let text = std::fs::read_to_string(joining).unwrap().replace("agg2.eqiad.test/", "spare/");
    std::fs::create_dir_all(&spare).unwrap();
    let config = spare.join("aggregator.toml");
    std::fs::write(&config, text).unwrap();
    let joined = std::process::Command::new(muster_tests::rig::program("muster-aggregator"))
        .arg("--config")
        .arg(&config)
        .args(["init", "--join", &rig.aggregators[0].address(), "--token", &aggregator])
        .output()
        .unwrap();
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
}

/// At both aggregators: the one that has the authority and the one that must hear of it.
fn a_revocation_ends_live_connections(rig: &Rig) {
    for place in [0, 1] {
        let name = format!("gone{place}.test");
        let options = AgentOptions { only: Some(vec![place]), ..Default::default() };
        let mut agent = rig.agent(&name, &options);
        eventually("the agent is live", PATIENCE, || {
            (text(&agent.status()?, "uplink") == "live").then_some(())
        });
        let aggregator = &rig.aggregators[place];
        let (before, began) = (aggregator.log().len(), Instant::now());
        rig.aggregators[0].verb(&["cert", "revoke", &name]);
        let ours = "the peer refuses our certificate: it is revoked";
        both_say(
            &agent,
            aggregator,
            before,
            ours,
            "we refuse the peer's certificate: it is revoked",
        );
        println!("revoked at aggregator {}: {:.2} s", place + 1, began.elapsed().as_secs_f64());
        assert!(began.elapsed() < Duration::from_secs(30));
        agent.stop();
    }
}

/// The agent talks to the aggregator without the authority, which passes the request on.
fn an_agent_renews_over_its_connection(rig: &Rig) {
    let real = authority(rig);
    for place in [0, 1] {
        let mut agent = newcomer(rig, &format!("renew{place}.test"), place);
        install(&agent, &real, &real, now().before(DAY * 28), HOST_TTL);
        let dir = agent.state_dir().join("identity");
        let old = Identity::load(&dir).unwrap();
        agent.start();
        let fresh = eventually("a new certificate is on the disk", PATIENCE, || {
            Identity::load(&dir).ok().filter(|new| new.me().serial != old.me().serial)
        });
        assert!(fresh.expires_at().0 > now().after(DAY * 20).0);
        assert_eq!((fresh.name(), fresh.role()), (agent.name.as_str(), Role::Agent));
        assert_eq!(text(&agent.status().unwrap(), "uplink"), "live", "it stayed connected");
        assert!(agent.is_running(), "without a restart");
        // The new key works, and the old certificate is still good until it expires.
        agent.stop();
        agent.start();
        eventually("live with the new certificate", PATIENCE, || {
            (text(&agent.status()?, "uplink") == "live").then_some(())
        });
        agent.stop();
    }
}

fn aggregators_renew_themselves(rig: &mut Rig) {
    let real = authority(rig);
    for place in [0, 1] {
        let aggregator = &mut rig.aggregators[place];
        aggregator.stop();
        let dir = aggregator.state_dir().join("identity");
        let key = new_key_and_csr(aggregator.place.name).unwrap();
        let wish = Wish {
            csr: &key.csr,
            name: aggregator.place.name,
            role: Role::Aggregator,
            ttl: HOST_TTL,
        };
        let old = real.issue(&wish, now().before(DAY * 28)).unwrap();
        Identity::replace(&dir, &key.key_pem, &old.chain).unwrap();
        aggregator.start();
        let fresh = eventually("the aggregator has renewed itself", PATIENCE, || {
            Identity::load(&dir).ok().filter(|new| new.me().serial != old.issued.serial)
        });
        assert_eq!(fresh.role(), Role::Aggregator);
        assert!(aggregator.process.as_mut().unwrap().is_running());
    }
}

#[test]
fn certificates_and_tokens() {
    let mut rig = Rig::new(TWO);
    no_certificate_and_another_name(&rig);
    wrong_certificates(&rig);
    tokens(&rig);
    a_revocation_ends_live_connections(&rig);
    an_agent_renews_over_its_connection(&rig);
    aggregators_renew_themselves(&mut rig);
}
