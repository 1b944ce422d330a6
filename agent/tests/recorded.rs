//! A recorded machine (Debian 12): every collector on it, and mangled copies of its files.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::path::PathBuf;

use expect_test::expect_file;
use muster_agent::facts;
use muster_agent::facts::Facts;
use muster_agent::facts::clock::Clock;
use muster_agent::facts::statfs::Usage;
use muster_agent::host::Host;
use muster_agent::metrics::{COLLECTORS, ScrapeOut, Scraper, Settings, exposition};
use muster_proto::clock::{Mono, Utc};
use muster_proto::metric::{encode_dict, encode_scrapes, parse_dict, parse_scrapes};

fn bookworm() -> Host {
    Host::at(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/proc/bookworm"))
}

const NOW: Utc = Utc(1_795_239_429_512_396);

#[test]
fn every_collector_of_a_recorded_machine() {
    let ScrapeOut { dict, scrape } =
        Scraper::new(bookworm(), Settings::default()).scrape(NOW, Mono(0));
    let mut text = String::new();
    exposition(&dict.unwrap(), &scrape, &mut text);
    let is_moving = |line: &str| line.contains("_duration_seconds{") || line.contains("time_zone=");
    let steady: String =
        text.lines().filter(|line| !is_moving(line)).flat_map(|line| [line, "\n"]).collect();
    expect_file!["../fixtures/proc/bookworm.prom"].assert_eq(&steady);
}

#[test]
fn a_machine_of_which_nothing_is_known_fails_part_by_part() {
    let dir = tempfile::tempdir().unwrap();
    let told = Scraper::new(Host::at(dir.path()), Settings::default()).scrape(NOW, Mono(0));
    let dict = told.dict.unwrap();
    for (series, value) in dict.series.iter().zip(&told.scrape.values) {
        // That SELinux is off, or no memory controller known, is an answer and not a failure.
        let is_answer =
            series.labels.iter().any(|(_, value)| value == "selinux" || value == "edac");
        if series.name == "node_scrape_collector_success" && !is_answer {
            assert_eq!(*value, Some(0.0), "{:?}", series.labels);
        }
    }
    let parts = dict.series.iter().filter(|s| s.name == "node_scrape_collector_success").count();
    assert_eq!(parts, COLLECTORS.len());
}

#[test]
fn the_facts_of_a_recorded_machine() {
    let facts = Facts::read(&bookworm(), Clock { utc: NOW, mono: Mono(0) });
    let mounts = facts.mounts.unwrap();
    let mount = |at: &str| mounts.iter().find(|mount| mount.mountpoint == at).unwrap();
    assert!(matches!(mount("/").usage, Usage::Known(room) if room.avail_bytes == 77_486_309_376));
    assert_eq!(mount("/nfs/home").usage, Usage::Hung);
    assert_eq!(mount("/proc").usage, Usage::NotAsked);
    assert!(mount("/srv/my data\\x").is_readonly());
    assert_eq!(mount("/twice").device, "/dev/vdd", "the upper of two stacked mounts");
    let units = facts.units.unwrap();
    let failed: Vec<_> = units.failed().map(|unit| unit.name.as_str()).collect();
    assert_eq!(failed, ["mariadb.service"]);
    let netclass = facts.netclass.unwrap();
    assert_eq!(netclass.len(), 3, "bonding_masters is no device");
    assert!(netclass[0].is_admin_up());
    assert_eq!(facts.sockstat.unwrap().value("sockets", "used").map(|used| used > 0), Some(true));
    assert_eq!(facts.netstat.unwrap().value("Ip6", "InReceives").map(|n| n >= 0), Some(true));
    assert_eq!(facts.vmstat.unwrap().value("oom_kill"), Some(0));
    let nature = facts::nature::read(&bookworm());
    assert_eq!(nature.os, "Debian GNU/Linux 12 (bookworm)");
    assert_eq!((nature.cpus, nature.kernel.as_str()), (2, "6.1.0-28-amd64"));
    assert_eq!(nature.booted_at, Utc(1_795_237_999_000_000));
}

#[test]
fn mangled_files_are_errors_never_panics() {
    let host = bookworm();
    let files = [
        "proc/loadavg",
        "proc/meminfo",
        "proc/pressure/io",
        "proc/stat",
        "proc/vmstat",
        "proc/net/dev",
        "proc/net/sockstat",
        "proc/net/snmp",
        "proc/net/snmp6",
        "proc/net/netstat",
        "proc/net/stat/nf_conntrack",
        "proc/diskstats",
        "proc/sys/fs/file-nr",
        "proc/1/mountinfo",
        "etc/os-release",
        "recorded/units",
        "recorded/statfs",
        "recorded/timex",
    ];
    let mut random = fastrand::Rng::with_seed(3);
    for file in files {
        let good = host.read_bytes(file).unwrap();
        for _ in 0..300 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes.truncate(at + 1),
                    2 => bytes.insert(at, *random.choice(b" :-.\n\\09=").unwrap()),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            parse_all(&bytes);
        }
    }
}

/// Every parser reads every text: none may panic, whatever it is given.
fn parse_all(bytes: &[u8]) {
    let text = &String::from_utf8_lossy(bytes);
    let _ = facts::load::parse_loadavg(text);
    let _ = facts::memory::parse_meminfo(text);
    let _ = facts::pressure::parse_pressure(text);
    let _ = facts::stat::parse_stat(text);
    let _ = facts::vmstat::scan_vmstat(text).count();
    let _ = facts::netdev::parse_net_dev(text);
    let _ = facts::sockstat::parse_sockstat(text);
    let _ = facts::netstat::scan_pairs(text, &mut |_, _, _| {});
    let _ = facts::netstat::scan_snmp6(text, &mut |_, _, _| {});
    let _ = facts::conntrack::parse_counters(text);
    let _ = facts::diskstats::parse_diskstats(text);
    let _ = facts::filefd::parse_file_nr(text);
    let _ = facts::mounts::parse_mountinfo(bytes);
    let _ = facts::os::parse_os_release(text);
    let _ = facts::units::parse_recorded(text);
    let _ = facts::statfs::parse_recorded(text);
    let _ = facts::timex::parse_recorded(text);
}

#[test]
fn steady_scrapes_keep_their_dict_and_survive_the_wire() {
    let mut scraper = Scraper::new(bookworm(), Settings::default());
    let mut dicts = Vec::new();
    let mut dict = None;
    for number in 0..140_u32 {
        let told = scraper.scrape(Utc(NOW.0 + i64::from(number) * 15_000_000), Mono(0));
        if let Some(new) = told.dict {
            assert_eq!(parse_dict(&encode_dict(&new)).unwrap(), new);
            dicts.push(number);
            dict = Some(new);
        }
        let dict = dict.as_ref().unwrap();
        assert_eq!(told.scrape.values.len(), dict.series.len());
        let body = encode_scrapes(dict, std::slice::from_ref(&told.scrape));
        assert_eq!(parse_scrapes(dict, &body).unwrap(), [told.scrape]);
    }
    assert_eq!(dicts, [0, 4, 124], "first, when it is known what moves, and every 120 scrapes");
}
