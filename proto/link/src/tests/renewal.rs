//! Certificates change while connections live; revocation ends them.

use muster_proto::lane::Lane;

use super::*;
use crate::ca::Which;

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    run(async {
        let house = House::new();
        let (agg_dir, host_dir) =
            (house.identity(AGG, Role::Aggregator), house.identity(HOST, Role::Agent));
        let aggregator = IdentityStore::open_at(&agg_dir, house.clock()).unwrap();
        let agent = IdentityStore::open_at(&host_dir, house.clock()).unwrap();
        let post = Post::bind(&aggregator, small(Tuning::aggregator()));
        let dialer = Dialer::new(agent.clone(), Tuning::agent()).unwrap();
        let (old, old_accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        let old = old.unwrap();

        house.pass_days(20);
        for (dir, name, role) in [(&agg_dir, AGG, Role::Aggregator), (&host_dir, HOST, Role::Agent)]
        {
            let (key_pem, certified) = house.certify(name, role);
            Identity::replace(dir, &key_pem, &certified.chain).unwrap();
        }
        assert_eq!(aggregator.identity().expires_at(), Utc(T0.0 + 30 * DAY_US));
        assert_eq!(aggregator.reload().unwrap().expires_at(), Utc(T0.0 + 50 * DAY_US));
        agent.reload().unwrap();

        house.pass_days(20);
        let (new, new_accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        let new = new.unwrap();
        assert_ne!(new.peer().serial, old.peer().serial);
        assert_ne!(new_accepted.peer().serial, old_accepted.peer().serial);
        // The old connection has not noticed anything.
        assert_eq!(old.peer().expires_at, Utc(T0.0 + 30 * DAY_US));
        let (answer, _) = tokio::join!(old.ask(b"alive?"), async {
            old_accepted.accept_ask().await.unwrap().reply("yes").await.unwrap();
        });
        assert_eq!(answer.unwrap(), b"yes");
    });
}

#[test]
fn a_broken_directory_changes_nothing() {
    let house = House::new();
    let dir = house.identity(HOST, Role::Agent);
    let store = IdentityStore::open_at(&dir, house.clock()).unwrap();
    let before = store.identity().me().serial.clone();
    std::fs::write(dir.join("host.crt"), "noise").unwrap();
    assert!(store.reload().is_err());
    assert_eq!(store.identity().me().serial, before);
}

#[test]
fn a_new_ca_is_trusted_after_a_reload() {
    run(async {
        let (house, other) = (House::new(), House::new());
        let dir = house.identity(AGG, Role::Aggregator);
        let aggregator = IdentityStore::open_at(&dir, house.clock()).unwrap();
        let post = Post::bind(&aggregator, small(Tuning::aggregator()));
        let agent_dir = other.identity(HOST, Role::Agent);
        house.ca.publish(&agent_dir).unwrap();
        let agent = IdentityStore::open_at(&agent_dir, house.clock()).unwrap();
        let dialer = Dialer::new(agent, Tuning::agent()).unwrap();
        assert!(dialer.dial(post.addr, AGG).await.is_err());
        let both = [house.ca.certificate().to_vec(), other.ca.certificate().to_vec()];
        std::fs::write(dir.join("ca.crt"), crate::identity::pem_of(&both)).unwrap();
        aggregator.reload().unwrap();
        let (dialled, _accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        dialled.unwrap();
    });
}

#[test]
fn revoking_closes_live_connections_at_once_and_no_others() {
    run(async {
        let house = House::new();
        let store = house.store(AGG, Role::Aggregator);
        let post = Post::bind(&store, small(Tuning::aggregator()));
        let dialer = Dialer::new(house.store(HOST, Role::Agent), Tuning::agent()).unwrap();
        let other =
            Dialer::new(house.store("web1.example.org", Role::Agent), Tuning::agent()).unwrap();
        let (revoked, accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        let (kept, _kept_accepted) = tokio::join!(other.dial(post.addr, AGG), post.peer());
        let (revoked, kept) = (revoked.unwrap(), kept.unwrap());
        // Only a lane is held: revocation reaches it all the same.
        let lane = accepted.open_lane(Lane::Logs).await.unwrap();
        drop(accepted);

        let named = house.ca.revoke(Which::Name(HOST), T0).unwrap();
        assert_eq!(store.revoke(named.into_iter().map(|one| one.serial)), 1);
        assert_eq!(
            revoked.closed().await.to_string(),
            "the peer refuses our certificate: it is revoked"
        );
        drop(lane);
        assert!(kept.close_reason().is_none());
    });
}

#[test]
fn a_crl_closes_live_connections_when_it_is_loaded() {
    run(async {
        let house = House::new();
        let dir = house.identity(AGG, Role::Aggregator);
        let store = IdentityStore::open_at(&dir, house.clock()).unwrap();
        let post = Post::bind(&store, small(Tuning::aggregator()));
        let dialer = Dialer::new(house.store(HOST, Role::Agent), Tuning::agent()).unwrap();
        let (dialled, _accepted) = tokio::join!(dialer.dial(post.addr, AGG), post.peer());
        house.ca.revoke(Which::Name(HOST), T0).unwrap();
        house.ca.publish(&dir).unwrap();
        store.reload().unwrap();
        assert_eq!(
            dialled.unwrap().closed().await.to_string(),
            "the peer refuses our certificate: it is revoked"
        );
    });
}

#[test]
fn a_restarted_listener_is_noticed_by_its_reset() {
    let house = House::new();
    let keys = house.path("endpoint.keys");
    let tuning = || {
        let keys = EndpointKeys::open(&keys).unwrap();
        small(Tuning::aggregator()).with_keys(Arc::new(keys))
    };
    let store = house.store(AGG, Role::Aggregator);
    let agent = house.store(HOST, Role::Agent);
    // The first life of the aggregator has its own runtime, which is torn away without a good-bye.
    let (bound, addr) = std::sync::mpsc::channel();
    let (kill, killed) = tokio::sync::oneshot::channel::<()>();
    let (first_store, first_tuning) = (store.clone(), tuning());
    let first_life = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let left = runtime.block_on(async {
            let post = Post::bind(&first_store, first_tuning);
            bound.send(post.addr).unwrap();
            let connection = post.peer().await;
            killed.await.unwrap();
            (post, connection)
        });
        drop(runtime);
        drop(left);
    });
    let addr = addr.recv().unwrap();
    run(async {
        let dialer = Dialer::new(agent.clone(), Tuning::agent()).unwrap();
        let dialled = dialer.dial(addr, AGG).await.unwrap();
        kill.send(()).unwrap();
        first_life.join().unwrap();
        let second = Post::bind_at(addr, &store, tuning());
        let mut lane = dialled.open_lane(Lane::Logs).await.unwrap();
        lane.write(vec![0; 1000].into()).await.unwrap();
        assert_eq!(
            dialled.closed().await.to_string(),
            "the peer was restarted and does not know this connection"
        );
        let (again, _accepted) = tokio::join!(dialer.dial(addr, AGG), second.peer());
        again.unwrap();
    });
}

#[test]
fn endpoint_keys_are_made_once_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("endpoint.keys");
    EndpointKeys::open(&path).unwrap();
    let first = std::fs::read(&path).unwrap();
    EndpointKeys::open(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
    std::fs::write(&path, b"short").unwrap();
    let error = EndpointKeys::open(&path).unwrap_err().to_string();
    assert!(error.contains("have 5 bytes instead of 40"), "{error}");
}
