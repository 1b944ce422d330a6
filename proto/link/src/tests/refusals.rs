//! Every way not to be let in, with the exact words of both sides.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;
use crate::ca::Which;
use crate::dial::{connect, open_endpoint, quic_config};
use crate::tls::{Seen, bare_client_config};

/// Dials and expects these words from the dialler and these from the listener.
#[track_caller]
fn check(
    aggregator: &Arc<IdentityStore>,
    agent: &Arc<IdentityStore>,
    name: &str,
    (dialler_says, listener_says): (&str, &str),
) {
    run(async {
        let post = Post::bind(aggregator, small(Tuning::aggregator()));
        let dialer = Dialer::new(agent.clone(), Tuning::agent()).unwrap();
        let dial = dialer.dial(post.addr, name);
        let (dialled, failure) = tokio::join!(dial, post.failure());
        assert_eq!(dialled.unwrap_err().to_string(), dialler_says);
        assert_eq!(failure, listener_says);
        assert_eq!(post.listener.counts().failed, 1);
        assert_eq!((aggregator.live(), agent.live()), (0, 0));
    });
}

#[test]
fn an_agent_of_another_ca() {
    let (house, other) = (House::new(), House::new());
    let stranger = other.identity(HOST, Role::Agent);
    // It trusts our CA, we do not trust its.
    house.ca.publish(&stranger).unwrap();
    check(
        &house.store(AGG, Role::Aggregator),
        &IdentityStore::open_at(&stranger, house.clock()).unwrap(),
        AGG,
        (
            "the peer refuses our certificate: it is not signed by a trusted CA",
            "we refuse the peer's certificate: it is not signed by a trusted CA",
        ),
    );
}

#[test]
fn an_aggregator_of_another_ca() {
    let (house, other) = (House::new(), House::new());
    check(
        &other.store(AGG, Role::Aggregator),
        &house.store(HOST, Role::Agent),
        AGG,
        (
            "we refuse the peer's certificate: it is not signed by a trusted CA",
            "the peer refuses our certificate: it is not signed by a trusted CA",
        ),
    );
}

#[test]
fn an_expired_agent() {
    let house = House::new();
    let agent = house.store(HOST, Role::Agent);
    house.pass_days(31);
    check(
        &house.store(AGG, Role::Aggregator),
        &agent,
        AGG,
        (
            "the peer refuses our certificate: it expired",
            "we refuse the peer's certificate: it expired at 2027-02-14 08:00 UTC",
        ),
    );
}

#[test]
fn an_expired_aggregator() {
    let house = House::new();
    let aggregator = house.store(AGG, Role::Aggregator);
    house.pass_days(31);
    check(
        &aggregator,
        &house.store(HOST, Role::Agent),
        AGG,
        (
            "we refuse the peer's certificate: it expired at 2027-02-14 08:00 UTC",
            "the peer refuses our certificate: it expired",
        ),
    );
}

#[test]
fn a_certificate_from_the_future() {
    let house = House::new();
    let aggregator = house.store(AGG, Role::Aggregator);
    house.pass_days(2);
    let agent = house.store(HOST, Role::Agent);
    house.pass_days(-1);
    check(
        &aggregator,
        &agent,
        AGG,
        (
            "the peer refuses our certificate: it is not valid yet",
            "we refuse the peer's certificate: it is not valid yet, only from 2027-01-17 07:59 UTC",
        ),
    );
}

#[test]
fn an_agent_in_the_revocation_list() {
    let house = House::new();
    let aggregator = house.store(AGG, Role::Aggregator);
    let agent = house.store(HOST, Role::Agent);
    let revoked = house.ca.revoke(Which::Name(HOST), T0).unwrap();
    assert_eq!(aggregator.revoke(revoked.into_iter().map(|one| one.serial)), 0);
    check(
        &aggregator,
        &agent,
        AGG,
        (
            "the peer refuses our certificate: it is revoked",
            "we refuse the peer's certificate: it is revoked",
        ),
    );
}

#[test]
fn an_agent_in_the_crl() {
    let house = House::new();
    let agent = house.store(HOST, Role::Agent);
    house.ca.revoke(Which::Serial(&agent.identity().me().serial), T0).unwrap();
    let dir = house.identity(AGG, Role::Aggregator);
    house.ca.publish(&dir).unwrap();
    let aggregator = IdentityStore::open_at(&dir, house.clock()).unwrap();
    assert!(!aggregator.is_revoked(&agent.identity().me().serial), "this test is about the CRL");
    let words = (
        "the peer refuses our certificate: it is revoked",
        "we refuse the peer's certificate: it is revoked",
    );
    check(&aggregator, &agent, AGG, words);
    // A list that is older than it says still counts.
    house.pass_days(25);
    let renewed = house.store("other.example.org", Role::Agent);
    house.pass_days(4);
    run(async {
        let post = Post::bind(&aggregator, small(Tuning::aggregator()));
        let dialer = Dialer::new(renewed, Tuning::agent()).unwrap();
        let (dialled, _accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        dialled.unwrap();
    });
    check(&aggregator, &agent, AGG, words);
}

#[test]
fn a_revoked_aggregator() {
    let house = House::new();
    let aggregator = house.store(AGG, Role::Aggregator);
    let agent = house.store(HOST, Role::Agent);
    agent.revoke([aggregator.identity().me().serial.clone()]);
    check(
        &aggregator,
        &agent,
        AGG,
        (
            "we refuse the peer's certificate: it is revoked",
            "the peer refuses our certificate: it is revoked",
        ),
    );
}

#[test]
fn an_aggregator_of_another_name() {
    let house = House::new();
    check(
        &house.store(AGG, Role::Aggregator),
        &house.store(HOST, Role::Agent),
        "agg2.example.org",
        (
            "we refuse the peer's certificate: it is for another name: agg1.example.org, not agg2.example.org",
            "the peer refuses our certificate: it is for another name",
        ),
    );
}

#[test]
fn an_agent_that_plays_aggregator() {
    let house = House::new();
    check(
        &house.store("evil.example.org", Role::Agent),
        &house.store(HOST, Role::Agent),
        "evil.example.org",
        (
            "we refuse the peer's certificate: it is not meant for this side of a connection",
            "the peer refuses our certificate: it is not meant for this side of a connection",
        ),
    );
}

/// Believes everything: only for playing the attacker.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Dials without a certificate; gives the words of both sides.
async fn bare_dial(alpn: &[u8]) -> (String, String) {
    let house = House::new();
    let post = Post::bind(&house.store(AGG, Role::Aggregator), small(Tuning::aggregator()));
    let tls = bare_client_config(Arc::new(Gullible), alpn).unwrap();
    let (endpoint, _) = open_endpoint(&Tuning::agent()).unwrap();
    let config = quic_config(tls, &Tuning::agent());
    let seen = Seen::default();
    let dial = async {
        match connect(&endpoint, config, post.addr, AGG, &seen).await {
            Ok(quic) => LinkError::from(quic.closed().await),
            Err(error) => error,
        }
    };
    let (end, failure) = tokio::join!(dial, post.failure());
    (end.to_string(), failure)
}

#[test]
fn nobody_without_a_certificate() {
    run(async {
        let (dialler, listener) = bare_dial(ALPN_MUSTER).await;
        assert_eq!(dialler, "the peer refuses our certificate: there is none, and one is needed");
        assert_eq!(listener, "we refuse the peer's certificate: there is none, and one is needed");
    });
}

#[test]
fn nobody_who_speaks_something_else() {
    run(async {
        let (dialler, listener) = bare_dial(b"h3").await;
        let words = "the two sides have no protocol in common; this one speaks muster/1";
        assert_eq!((dialler.as_str(), listener.as_str()), (words, words));
    });
}

#[test]
fn nobody_answers() {
    run(async {
        let house = House::new();
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let quick = Tuning { dial_timeout: Duration::from_millis(50), ..Tuning::agent() };
        let dialer = Dialer::new(house.store(HOST, Role::Agent), quick).unwrap();
        let error = dialer.dial(silent.local_addr().unwrap(), AGG).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer to a dial within 50 ms");
        let nameless = dialer.dial(silent.local_addr().unwrap(), "not a name").await.unwrap_err();
        assert!(nameless.to_string().starts_with("cannot dial not a name at 127.0.0.1:"));
    });
}

#[test]
fn a_full_listener_refuses_and_says_so() {
    run(async {
        let house = House::new();
        let closed = Tuning { handshakes_per_s: 0, ..small(Tuning::aggregator()) };
        let post = Post::bind(&house.store(AGG, Role::Aggregator), closed);
        let dialer = Dialer::new(house.store(HOST, Role::Agent), Tuning::agent()).unwrap();
        let error = dialer.dial(post.addr, AGG).await.unwrap_err();
        assert_eq!(error.to_string(), "the peer refuses new connections at the moment");
        assert_eq!(post.listener.counts(), Counts { refused: 1, ..Counts::default() });
    });
}

#[test]
fn a_busy_listener_lets_in_who_proves_its_address() {
    run(async {
        let house = House::new();
        // With one place, and half of it for newcomers, everybody has to prove the address.
        let busy = Tuning { handshakes_max: 1, ..small(Tuning::aggregator()) };
        let post = Post::bind(&house.store(AGG, Role::Aggregator), busy);
        let dialer = Dialer::new(house.store(HOST, Role::Agent), Tuning::agent()).unwrap();
        let (dialled, _accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        dialled.unwrap();
        let counts = post.listener.counts();
        assert_eq!((counts.retried, counts.begun, counts.failed), (1, 1, 0));
    });
}

#[test]
fn a_storm_is_let_in_or_told_to_go_elsewhere_at_once() {
    run(async {
        let house = House::new();
        let narrow = Tuning { handshakes_per_s: 40, ..small(Tuning::aggregator()) };
        let post = Post::bind(&house.store(AGG, Role::Aggregator), narrow);
        let agent = house.store(HOST, Role::Agent);
        let dialer = Arc::new(Dialer::new(agent, Tuning::agent()).unwrap());
        let mut dials = tokio::task::JoinSet::new();
        for _ in 0..300 {
            let (dialer, addr) = (dialer.clone(), post.addr);
            dials.spawn(async move { dialer.dial(addr, AGG).await });
        }
        let dialling = async {
            let (mut kept, mut refused) = (Vec::new(), 0);
            while let Some(outcome) = dials.join_next().await {
                match outcome.unwrap() {
                    Ok(connection) => kept.push(connection),
                    Err(LinkError::Refused) => refused += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            (kept, refused)
        };
        let accepting = async {
            let mut accepted = Vec::new();
            loop {
                accepted.push(post.peer().await);
            }
        };
        let (kept, refused) = tokio::select! {
            () = accepting => unreachable!(),
            outcome = dialling => outcome,
        };
        let counts = post.listener.counts();
        assert_eq!((kept.len() as u64, refused), (counts.begun, counts.refused));
        assert_eq!(kept.len() as u64 + refused, 300);
        assert!(kept.len() >= 40 && counts.retried >= 1 && refused >= 1, "{counts:?}");
    });
}
