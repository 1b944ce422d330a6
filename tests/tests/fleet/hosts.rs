//! The fleet itself: hosts boot fast, know each other, can be cut off, reboot, and leave nothing behind.

use std::time::Duration;

use muster_tests::fleet::{End, Fleet, Host, Plan, Release};
use muster_tests::rig::{eventually, within};

/// Ten hosts are up after this long.
const TEN_UP_MAX: Duration = Duration::from_secs(20);

/// A neighbour that is not known yet costs the first packets.
const PATIENCE: Duration = Duration::from_secs(10);

fn reaches(from: &Host, to: &Host, family: &str) -> bool {
    from.run(&["ping", family, "-c1", "-W1", "-q", &to.name]).code == 0
}

#[track_caller]
fn must_reach(from: &Host, to: &Host, family: &str) {
    eventually(&format!("{} reaches {} by {family}", from.name, to.name), PATIENCE, || {
        reaches(from, to, family).then_some(())
    });
}

#[test]
fn ten_hosts_boot_in_twenty_seconds_and_can_be_parted() {
    let Some(mut fleet) = Fleet::open("fleet: ten hosts") else { return };
    // The base tree may have to be made first; that is not a boot.
    fleet.boot(&[Plan::bare("first.eqiad.test")]);
    let name = |n: usize| format!("h{n}.{}.test", ["eqiad", "codfw"][n % 2]);
    let plans: Vec<Plan> = (0..10).map(|n| Plan::bare(&name(n))).collect();
    let took = fleet.boot(&plans);
    assert!(took < TEN_UP_MAX, "ten hosts were up only after {took:?}");

    for family in ["-4", "-6"] {
        must_reach(fleet.host("h0.eqiad.test"), fleet.host("h2.eqiad.test"), family);
        must_reach(fleet.host("h0.eqiad.test"), fleet.host("h1.codfw.test"), family);
    }
    check_cuts(&mut fleet);

    let host = fleet.host("h0.eqiad.test");
    host.write("/root/kept", "yes");
    let id = host.sh("cat /etc/machine-id");
    for again in [
        Host::reboot as fn(&Host),
        |host| {
            host.power_cut();
            host.start()
        },
        |host| {
            host.power_off();
            host.start()
        },
    ] {
        again(host);
        assert_eq!(host.sh("cat /root/kept /etc/machine-id"), format!("yes{id}"));
        assert_eq!(host.sh("hostname").trim(), host.name);
    }
    must_reach(fleet.host("h1.codfw.test"), fleet.host("h0.eqiad.test"), "-6");
}

fn check_cuts(fleet: &mut Fleet) {
    let cuts = [
        (End::Host("h0.eqiad.test"), End::Others, [false, false, true, true]),
        (End::Host("h0.eqiad.test"), End::Host("h2.eqiad.test"), [false, true, true, true]),
        (End::Site("eqiad"), End::Site("codfw"), [true, false, true, false]),
        (End::Others, End::Site("codfw"), [true, false, true, false]),
    ];
    let pairs = [
        ("h0.eqiad.test", "h2.eqiad.test"),
        ("h0.eqiad.test", "h1.codfw.test"),
        ("h2.eqiad.test", "h4.eqiad.test"),
        ("h2.eqiad.test", "h3.codfw.test"),
    ];
    for (one, other, expected) in cuts {
        let cut = fleet.cut(one, other);
        for family in ["-4", "-6"] {
            let mut found = [false; 4];
            let is_so = within(PATIENCE, || {
                found = pairs.map(|(from, to)| reaches(fleet.host(from), fleet.host(to), family));
                (found == expected).then_some(())
            });
            assert!(is_so.is_some(), "{family} while {one:?} and {other:?} are parted: {found:?}");
        }
        fleet.heal(cut);
    }
    for (from, to) in pairs {
        must_reach(fleet.host(from), fleet.host(to), "-4");
    }
}

#[test]
fn debian_13_boots_beside_debian_12_with_disk_and_clock_of_its_own() {
    let Some(mut fleet) = Fleet::open("fleet: Debian 13") else { return };
    let new = Plan::bare("new.eqiad.test").with_release(Release::Trixie).with_disk(64);
    fleet.boot(&[Plan::bare("old.eqiad.test"), new]);
    let host = fleet.host("new.eqiad.test");
    assert!(host.sh(". /etc/os-release; echo $VERSION_ID").starts_with("13"));
    must_reach(host, fleet.host("old.eqiad.test"), "-6");

    host.fill_disk();
    assert_ne!(host.run(&["sh", "-c", "echo more >/var/lib/muster/more"]).code, 0);
    host.reboot();
    host.free_disk();
    host.sh("echo more >/var/lib/muster/more");

    let unit = "[Service]\nExecStart=sh -c 'date +%%s >/run/told; exec sleep inf'\n";
    host.write("/etc/systemd/system/clock.service", unit);
    host.skew_clock("clock", -7200);
    let late: i64 = host
        .sh("until [ -s /run/told ]; do :; done; echo $(($(date +%s) - $(cat /run/told)))")
        .trim()
        .parse()
        .unwrap();
    assert!((7195..7260).contains(&late), "two hours behind: {late}");
}
