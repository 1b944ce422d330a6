//! Tokens and first certificates, end to end.

use super::*;
use crate::enrol::{Anchor, EnrolError, Enrolment};
use crate::token::{Terms, Token};

struct Case<'a> {
    house: &'a House,
    post: Post,
}

impl Case<'_> {
    /// Enrols `name`; the aggregator asks its CA as the program would.
    async fn enrol(&self, asked: &Enrolment<'_>) -> Result<Identity, EnrolError> {
        let dir = self.house.path(&format!("new-{}", asked.name));
        let serving = async {
            let Some(Arrival::Enrol(request)) = self.post.listener.accept().await else {
                panic!("no enrolment came");
            };
            let (ca, now) = (&self.house.ca, self.house.now());
            let granted =
                ca.use_token(&request.token, &request.name, request.role, now).and_then(|()| {
                    let role = request.role;
                    let wish = Wish { csr: &request.csr, name: &request.name, role, ttl: HOST_TTL };
                    ca.issue(&wish, now)
                });
            match granted {
                Ok(certified) => request.grant(certified.chain).await.unwrap(),
                Err(why) => request.refuse(&why.to_string()).await.unwrap(),
            }
        };
        let enrolling = enrol(asked, &dir);
        tokio::pin!(enrolling);
        tokio::select! {
            outcome = &mut enrolling => outcome,
            () = serving => enrolling.await,
        }
    }

    fn asked<'a>(&self, token: &'a Token, name: &'a str) -> Enrolment<'a> {
        Enrolment {
            addr: self.post.addr,
            server_name: Some(AGG),
            anchor: None,
            token,
            name,
            role: Role::Agent,
        }
    }
}

fn terms(house: &House, uses: u32) -> Terms {
    let expires_at = Utc(house.now().0 + DAY_US);
    Terms { role: Role::Agent, names: "*.example.org".to_owned(), uses, expires_at }
}

/// The client of an enrolment has no clock of its own: it goes by the system's, and so does the CA here.
fn house_of_today() -> House {
    let dir = tempfile::tempdir().unwrap();
    let now = system_clock()();
    let ca = Ca::init(&dir.path().join("ca"), "Example", now).unwrap();
    House { dir, ca, now_us: Arc::new(AtomicI64::new(now.0)) }
}

#[test]
fn a_token_buys_one_certificate_that_works() {
    run(async {
        let house = house_of_today();
        let store = house.store(AGG, Role::Aggregator);
        let case = Case { house: &house, post: Post::bind(&store, small(Tuning::aggregator())) };
        let token = house.ca.create_token(terms(&house, 1), house.now()).unwrap();
        std::fs::write(house.path("new-db9.example.org"), "no directory").unwrap();
        let unwritable = case.enrol(&case.asked(&token, "db9.example.org")).await.unwrap_err();
        assert!(unwritable.to_string().contains("cannot store"), "{unwritable}");
        assert_eq!(house.ca.tokens().unwrap()[0].terms.uses, 1, "it is not used up");

        let identity = case.enrol(&case.asked(&token, HOST)).await.unwrap();
        assert_eq!((identity.name(), identity.role()), (HOST, Role::Agent));
        assert_eq!(identity.roots().collect::<Vec<_>>(), [house.ca.certificate()]);

        let again = case.enrol(&case.asked(&token, "web1.example.org")).await.unwrap_err();
        assert_eq!(
            again.to_string(),
            "the aggregator refuses to enrol web1.example.org: the token is used up"
        );
        assert!(!house.path("new-web1.example.org").exists(), "nothing is written without a yes");

        let issued = house.ca.issued().unwrap();
        assert_eq!(issued.last().map(|one| one.name.as_str()), Some(HOST));
        let enrolled = IdentityStore::open_at(identity.dir(), house.clock()).unwrap();
        let dialer = Dialer::new(enrolled, Tuning::agent()).unwrap();
        let (dialled, accepted) = tokio::join!(dialer.dial(case.post.addr, AGG), case.post.peer());
        dialled.unwrap();
        assert_eq!(accepted.peer().serial, identity.me().serial);
    });
}

#[test]
fn wrong_names_and_wrong_authorities_are_refused() {
    run(async {
        let house = house_of_today();
        let store = house.store(AGG, Role::Aggregator);
        let case = Case { house: &house, post: Post::bind(&store, small(Tuning::aggregator())) };
        let token = house.ca.create_token(terms(&house, 9), house.now()).unwrap();

        let error = case.enrol(&case.asked(&token, "db1.example.com")).await.unwrap_err();
        let words = "the aggregator refuses to enrol db1.example.com: the token is not good for the name db1.example.com";
        assert_eq!(error.to_string(), words);

        let forged = Token { ca: [1; 32], ..token.clone() };
        let error = case.enrol(&case.asked(&forged, HOST)).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(
            cause,
            "we refuse the peer's certificate: it is not by the certificate authority that the token names: make a new token at the aggregator that has it"
        );

        let elsewhere =
            Enrolment { server_name: Some("agg2.example.org"), ..case.asked(&token, HOST) };
        let error = case.enrol(&elsewhere).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("it is for another name"), "{cause}");

        // The three failures used the token only where the aggregator looked at it: nowhere.
        assert_eq!(house.ca.tokens().unwrap()[0].terms.uses, 9);
    });
}

#[test]
fn a_ca_file_or_a_bare_address_will_do() {
    run(async {
        let house = house_of_today();
        let store = house.store(AGG, Role::Aggregator);
        let case = Case { house: &house, post: Post::bind(&store, small(Tuning::aggregator())) };
        let token = house.ca.create_token(terms(&house, 2), house.now()).unwrap();
        let forged = Token { ca: [1; 32], ..token.clone() };
        let roots = vec![house.ca.certificate().to_vec().into()];
        let with_file =
            Enrolment { anchor: Some(Anchor::Roots(roots)), ..case.asked(&forged, HOST) };
        case.enrol(&with_file).await.unwrap();
        let bare = Enrolment { server_name: None, ..case.asked(&token, "db2.example.org") };
        case.enrol(&bare).await.unwrap();
    });
}

#[test]
fn tokens_live_on_disk_and_several_processes_may_use_one_ca() {
    let house = House::new();
    let second = Ca::open(&house.path("ca")).unwrap();
    let token = house.ca.create_token(terms(&house, 20), house.now()).unwrap();
    let use_ten = |ca: &Ca| {
        for _ in 0..10 {
            ca.use_token(&token.secret, HOST, Role::Agent, T0).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| use_ten(&house.ca));
        scope.spawn(|| use_ten(&second));
    });
    let refused = house.ca.use_token(&token.secret, HOST, Role::Agent, T0).unwrap_err();
    assert_eq!(refused.to_string(), "the token is used up");
    let digest = second.tokens().unwrap()[0].digest.clone();
    assert!(second.remove_token(&digest[..7]).is_err(), "too short to be sure");
    second.remove_token(&digest[..8]).unwrap();
    assert!(house.ca.tokens().unwrap().is_empty());
}
