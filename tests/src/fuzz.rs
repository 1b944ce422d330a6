//! Fuzz targets: one file per decoder of bytes from outside or from disk, and the register.
//!
//! Room: `tests`.  Used by: `tests/tests/fuzz` (a seeded loop in every test run) and `tests/fuzz` (cargo-fuzz).
//!
//! A target takes any bytes, must not panic, hang or take more memory than it says, and asserts what
//! holds for everything its decoder accepts. A new one is a file here, a line in [`TARGETS`] and a
//! `[[bin]]` in `tests/fuzz/Cargo.toml`; tidy compares the three.

use std::path::{Path, PathBuf};

mod address;
mod agent_config;
mod aggregator_config;
mod certificate;
mod checkpoints;
mod control;
mod csr;
mod digest;
mod export;
mod frame;
mod http;
mod identity;
mod inbox;
mod log_block;
mod log_body;
mod log_store;
mod metric_block;
mod metric_dict;
mod metric_scrapes;
mod metric_selector;
mod metric_store;
pub mod mutate;
mod proc_text;
mod proc_tree;
mod question;
mod roots;
mod roster;
mod selector;
mod series_table;
mod spool;
mod srv_answer;
mod stand_in;
mod state;
mod token;
mod wrap;

/// Memory that one call may hold at a time, if its target does not say otherwise. Bytes.
pub const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A decoder under fuzz.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name for `make fuzz TARGET=…`.
    pub name: &'static str,
    /// Decodes.
    pub run: fn(&[u8]),
    /// Bytes to begin with: fixtures, and what our own encoders write.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Makes checksums good again, so that what lies behind them is reached.
    pub mend: fn(&mut Vec<u8>),
    /// Mutations in one run of the tests.
    pub rounds: u32,
    /// Memory that one call may hold at a time. Bytes.
    pub memory_bytes_max: usize,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    address::TARGET,
    agent_config::TARGET,
    aggregator_config::TARGET,
    certificate::TARGET,
    checkpoints::TARGET,
    control::TARGET,
    csr::TARGET,
    digest::TARGET,
    export::TARGET,
    frame::TARGET,
    http::TARGET,
    identity::TARGET,
    inbox::TARGET,
    log_block::TARGET,
    log_body::TARGET,
    log_store::TARGET,
    metric_block::TARGET,
    metric_dict::TARGET,
    metric_scrapes::TARGET,
    metric_selector::TARGET,
    metric_store::TARGET,
    proc_text::TARGET,
    proc_tree::TARGET,
    question::TARGET,
    roots::TARGET,
    roster::TARGET,
    selector::TARGET,
    series_table::TARGET,
    spool::TARGET,
    srv_answer::TARGET,
    state::TARGET,
    token::TARGET,
];

impl Target {
    /// A target with the usual limits and nothing to mend.
    pub const fn new(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
        Target { name, run, seeds, mend: |_| {}, rounds: 2_000, memory_bytes_max: MEMORY_BYTES_MAX }
    }
}

/// Runs one target; the door of cargo-fuzz.
///
/// # Panics
/// When there is no such target, or the target found a bug.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("the name of a target").run)(bytes);
}

/// A committed file, by its path in the repository.
fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(repository().join(path)).expect("a committed fixture")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the workspace").to_owned()
}

/// Texts as seeds.
fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The bytes as text, as a reader of files takes them.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
