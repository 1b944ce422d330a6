//! The rules of the house that a machine can check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which crates of the house each room may import. ARCHITECTURE.md draws the same picture.
const WALLS: &[(&str, &[&str])] = &[
    ("proto/src", &[]),
    ("proto/policy/src", &["muster_proto"]),
    ("proto/spool/src", &[]),
    ("proto/link/src", &["muster_proto"]),
    ("agent/src", &["muster_proto", "muster_policy", "muster_spool", "muster_link"]),
    ("aggregator/src", &["muster_proto", "muster_policy", "muster_spool", "muster_link"]),
    ("aggregator/ctl/src", &["muster_proto", "muster_policy"]),
];
/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 800;
const BANNED_MODULES: &[&str] = &[
    "util",
    "utils",
    "common",
    "helpers",
    "misc",
    "manager",
    "handler",
    "processor",
    "service",
    "context",
    "data",
    "info",
    "core",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the workspace").to_owned()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the tree").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn files_of(room: &str) -> BTreeMap<PathBuf, String> {
    let mut paths = Vec::new();
    rust_files(&root().join(room), &mut paths);
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a source file");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn rooms_do_not_look_sideways() {
    for (room, may_use) in WALLS {
        for (path, text) in files_of(room) {
            for used in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
                let is_ours =
                    used.starts_with("muster_") && WALLS.iter().any(|wall| wall.1.contains(&used));
                let own = room.ends_with("src") && text.contains(&format!("{used}::"));
                if is_ours && own {
                    assert!(
                        may_use.contains(&used),
                        "{}: {room} may not use {used}",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn only_the_link_names_quinn_and_rustls() {
    for (room, _) in WALLS.iter().filter(|(room, _)| *room != "proto/link/src") {
        for (path, text) in files_of(room) {
            for word in ["quinn::", "rustls::"] {
                let named = text.lines().any(|line| {
                    line.contains(word)
                        && !line.trim_start().starts_with("//")
                        && !line.contains("tokio_rustls::")
                });
                assert!(!named, "{}: only the link may name {word}", path.display());
            }
        }
    }
}

#[test]
fn files_are_not_cities_and_say_what_they_are() {
    for (room, _) in WALLS {
        for (path, text) in files_of(room) {
            let lines = before_tests(&text).lines().count();
            assert!(lines <= FILE_LINES_MAX, "{}: {lines} lines: split it", path.display());
            assert!(
                text.starts_with("//!"),
                "{}: has no head that says what it is",
                path.display()
            );
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            assert!(!BANNED_MODULES.contains(&stem), "{}: banned name", path.display());
            assert!(stem != "mod", "{}: foo.rs beside foo/, not foo/mod.rs", path.display());
        }
    }
}

#[test]
fn nothing_is_left_undone() {
    for (room, _) in WALLS.iter().chain(&[("tests", [].as_slice())]) {
        for (path, text) in
            files_of(room).into_iter().filter(|(path, _)| !path.ends_with("tidy.rs"))
        {
            for word in ["TODO", "FIXME", "XXX", "#[ignore"] {
                assert!(!text.contains(word), "{}: has a {word}", path.display());
            }
        }
    }
}

#[test]
fn the_pure_crates_stay_pure() {
    for manifest in ["proto/Cargo.toml", "proto/policy/Cargo.toml", "proto/spool/Cargo.toml"] {
        let text = std::fs::read_to_string(root().join(manifest)).expect("a manifest");
        for banned in ["tokio", "quinn", "futures", "rand", "chrono"] {
            assert!(!text.contains(&format!("\n{banned}")), "{manifest}: no {banned} here");
        }
    }
}
