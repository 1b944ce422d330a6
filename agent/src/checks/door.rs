//! The one door of the tests of checks: a story of files in, findings as lines out.

use std::path::Path;

use expect_test::Expect;
use muster_proto::clock::{Mono, Utc};

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

/// The findings of the last asking.
#[track_caller]
pub(crate) fn tell(id: &str, story: &str, own: Option<&OwnFacts>) -> Vec<Finding> {
    let check = super::find(id).expect("is a check");
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    let (mut gatherer, mut baselines, settings) =
        (Gatherer::default(), Baselines::default(), Settings::default());
    let mut second = 0;
    let mut ask = |second: u64| {
        let case = gatherer.gather(&host, at(second), own.cloned());
        let mut out = Findings::new(check.about(), &settings, &NoneEarlier, &mut baselines);
        check.judge(case, &mut out);
        out.into_found()
    };
    for part in story.split("== ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        if let Some(passed) = head.strip_prefix('+') {
            ask(second);
            second += passed.trim().parse::<u64>().unwrap();
        } else if let Some(path) = head.strip_prefix('-') {
            std::fs::remove_file(dir.path().join(path.trim())).unwrap();
        } else {
            write(dir.path(), head.trim(), body);
        }
    }
    ask(second)
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
