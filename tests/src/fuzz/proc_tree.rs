//! A recorded machine of which one file says anything: every collector, every fact, every check.
//!
//! The input is the file's number in the recording (u16 little-endian), then its bytes.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use muster_agent::checks::gather::Gatherer;
use muster_agent::checks::{judge_all, settings::Settings as CheckSettings};
use muster_agent::facts::{clock::Clock, nature};
use muster_agent::host::Host;
use muster_agent::metrics::{Scraper, Settings};
use muster_proto::clock::Mono;
use tempfile::TempDir;

use super::{Target, repository, wrap};

pub(super) const TARGET: Target = Target { rounds: 400, ..Target::new("proc-tree", run, seeds) };

const RECORDING: &str = "agent/fixtures/proc/bookworm";

struct Machine {
    folder: TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
}

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::new(record());
}

fn record() -> Machine {
    let folder = tempfile::tempdir().expect("room for a machine");
    let files = recorded();
    for (path, bytes) in &files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it stands in a folder")).expect("room");
        fs::write(path, bytes).expect("room");
    }
    Machine { folder, files }
}

/// The files of the recording, by their path in it, in order.
pub(super) fn recorded() -> Vec<(PathBuf, Vec<u8>)> {
    let root = repository().join(RECORDING);
    let mut files = Vec::new();
    walk(&root, &root, &mut files);
    files.sort();
    files
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder of the recording").flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(root, &path, files);
        } else if let Ok(bytes) = fs::read(&path) {
            files.push((path.strip_prefix(root).expect("it is below").to_owned(), bytes));
        }
    }
}

fn run(bytes: &[u8]) {
    let Some((number, bytes)) = bytes.split_first_chunk::<2>() else { return };
    MACHINE.with_borrow(|machine| {
        let number = usize::from(u16::from_le_bytes(*number)) % machine.files.len();
        let (path, good) = &machine.files[number];
        let path = machine.folder.path().join(path);
        fs::write(&path, bytes).expect("room");
        let host = Host::at(machine.folder.path());
        Scraper::new(host.clone(), Settings::default()).scrape(wrap::AT, Mono(0));
        let clock = Clock { utc: wrap::AT, mono: Mono(0) };
        let mut gatherer = Gatherer::default();
        judge_all(gatherer.gather(&host, clock, None), &CheckSettings::default());
        nature::read(&host);
        fs::write(&path, good).expect("room");
    });
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |(number, (_, bytes)): (u16, (PathBuf, Vec<u8>))| {
        [&number.to_le_bytes()[..], &bytes].concat()
    };
    (0..).zip(recorded()).map(seed).collect()
}
