//! The one door of the tests of checks: a story of files in, findings as lines out.

use std::path::Path;

use expect_test::Expect;
use muster_proto::clock::{Mono, Utc};

use super::definition::Check;
use super::findings::{Baselines, Finding, Findings, NoneEarlier};
use super::gather::Gatherer;
use super::own::OwnFacts;
use super::settings::Settings;
use crate::facts::clock::Clock;
use crate::host::Host;

/// Wall time of second 0 of every story: 2026-01-01T00:00:00Z.
pub(crate) const START_S: i64 = 1_767_225_600;

/// A clock so many seconds into the story.
pub(crate) fn at(second: u64) -> Clock {
    let utc = Utc((START_S + i64::try_from(second).unwrap()) * 1_000_000);
    Clock { utc, mono: Mono(second * 1_000_000) }
}

/// A card `eth0` that is up, beside the loopback, and then the rest of the story.
pub(crate) fn with_card(rest: &str) -> String {
    let card = "== sys/class/net/eth0/device/vendor\nx\n\
                == sys/class/net/eth0/flags\n0x1003\n\
                == sys/class/net/eth0/operstate\nup\n\
                == sys/class/net/lo/flags\n0x9\n";
    format!("{card}{rest}")
}

/// What the kernel counts of the network: values of `RetransSegs OutSegs`, `RcvbufErrors SndbufErrors`,
/// `ListenOverflows ListenDrops`.
pub(crate) fn counted(tcp: &str, udp: &str, listen: &str) -> String {
    format!(
        "== proc/net/snmp\nTcp: RetransSegs OutSegs\nTcp: {tcp}\n\
         Udp: RcvbufErrors SndbufErrors\nUdp: {udp}\n\
         == proc/net/netstat\nTcpExt: ListenOverflows ListenDrops\nTcpExt: {listen}\n"
    )
}

/// A kernel that does not measure pressure.
pub(crate) const WITHOUT_PSI: &str = "== proc/loadavg\n9 9 9 1/2 3\n";

/// A resource that some waited for most of the time, and all now and then.
pub(crate) fn stalled(resource: &str) -> String {
    format!(
        "== proc/pressure/{resource}\n\
         some avg10=99.00 avg60=98.00 avg300=61.00 total=1\n\
         full avg10=9.00 avg60=30.00 avg300=12.50 total=1\n"
    )
}

/// Two processes with 90 threads together, where 100 may be.
pub(crate) const NINETY_THREADS: &str = "\
    == proc/sys/kernel/pid_max\n100\n\
    == proc/sys/kernel/threads-max\n100\n\
    == proc/1/stat\n1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 10 0\n\
    == proc/7/stat\n7 (java) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 89 0 5 0 10 0\n";

/// First this, a minute later that.
pub(crate) fn later(first: &str, then: &str) -> String {
    format!("{first}== +60\n{then}")
}

/// Asks one check about a story.
///
/// # Shape
/// `== path` begins a file (`== path age=S`: modified S seconds before the start), `== -path` removes one,
/// `== +S` asks and lets S seconds pass. Out: what the last asking found, `verdict instance: message`.
#[track_caller]
pub(crate) fn check(id: &str, story: &str, expected: Expect) {
    expected.assert_eq(&lines(&tell(id, story, None)));
}

/// Asks one check about what the agent says of itself.
#[track_caller]
pub(crate) fn check_own(id: &str, own: &OwnFacts, expected: Expect) {
    expected.assert_eq(&lines(&tell(id, "", Some(own))));
}

/// Asks one check about what the agent says of itself, once a minute; what the last asking found.
#[track_caller]
pub(crate) fn check_own_minutes(id: &str, minutes: &[OwnFacts], expected: Expect) {
    let mut asker = Asker::new(id);
    let found = (0..).zip(minutes).map(|(minute, own)| asker.ask(minute * 60, Some(own)));
    expected.assert_eq(&lines(&found.last().unwrap_or_default()));
}

/// The findings of the last asking.
#[track_caller]
pub(crate) fn tell(id: &str, story: &str, own: Option<&OwnFacts>) -> Vec<Finding> {
    let mut asker = Asker::new(id);
    let mut second = 0;
    for part in story.split("== ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        if let Some(passed) = head.strip_prefix('+') {
            asker.ask(second, own);
            second += passed.trim().parse::<u64>().unwrap();
        } else if let Some(path) = head.strip_prefix('-') {
            std::fs::remove_file(asker.dir.path().join(path.trim())).unwrap();
        } else {
            write(asker.dir.path(), head.trim(), body);
        }
    }
    asker.ask(second, own)
}

/// One check and the machine it looks at.
struct Asker {
    check: &'static dyn Check,
    dir: tempfile::TempDir,
    gatherer: Gatherer,
    baselines: Baselines,
}

impl Asker {
    #[track_caller]
    fn new(id: &str) -> Asker {
        let (check, dir) = (super::find(id).expect("is a check"), tempfile::tempdir().unwrap());
        Asker { check, dir, gatherer: Gatherer::default(), baselines: Baselines::default() }
    }

    fn ask(&mut self, second: u64, own: Option<&OwnFacts>) -> Vec<Finding> {
        let host = Host::at(self.dir.path());
        let case = self.gatherer.gather(&host, at(second), own.cloned());
        let settings = Settings::default();
        let mut out =
            Findings::new(self.check.about(), &settings, &NoneEarlier, &mut self.baselines);
        self.check.judge(case, &mut out);
        out.into_found()
    }
}

/// Findings as lines.
pub(crate) fn lines(found: &[Finding]) -> String {
    let line = |f: &Finding| match f.instance.as_str() {
        "" => format!("{}: {}\n", f.verdict, f.message),
        instance => format!("{} {instance}: {}\n", f.verdict, f.message),
    };
    found.iter().map(line).collect()
}

fn write(dir: &Path, head: &str, body: &str) {
    let (path, age) = head.split_once(" age=").unwrap_or((head, ""));
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, body).unwrap();
    if let Ok(age) = age.parse::<u64>() {
        let start = std::time::UNIX_EPOCH + std::time::Duration::from_secs(START_S.unsigned_abs());
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(start - std::time::Duration::from_secs(age)).unwrap();
    }
}
