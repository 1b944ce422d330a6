//! The rules of the house that a machine can check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use muster_tests::fuzz::TARGETS;

/// Which crates of the house each crate may depend on. ARCHITECTURE.md draws the same picture.
const WALLS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("proto/policy", &["muster_proto"]),
    ("proto/spool", &[]),
    ("proto/link", &["muster_proto"]),
    ("proto/program", &["muster_proto", "muster_policy"]),
    ("agent", &["muster_proto", "muster_policy", "muster_program", "muster_spool", "muster_link"]),
    (
        "aggregator",
        &["muster_proto", "muster_policy", "muster_program", "muster_spool", "muster_link"],
    ),
    ("aggregator/ctl", &["muster_proto", "muster_policy", "muster_program"]),
];

/// Which rooms of its crate a room may use; rooms that are not listed put others together.
const INNER_WALLS: &[(&str, &[&str])] = &[
    ("agent/src/host", &["facts"]),
    ("agent/src/facts", &["host"]),
    ("agent/src/checks", &["facts", "host"]),
    ("agent/src/metrics", &["facts", "host"]),
    ("agent/src/logs", &[]),
    ("agent/src/lanes", &["logs"]),
    ("agent/src/names", &[]),
    ("agent/src/uplink", &["config", "facts", "lanes", "names"]),
    ("agent/src/config", &["checks"]),
    ("aggregator/src/checks", &[]),
    ("aggregator/src/inbox", &[]),
    ("aggregator/src/intake", &["inbox"]),
    ("aggregator/src/roster", &[]),
    ("aggregator/src/incidents", &["roster"]),
    ("aggregator/src/stores", &["incidents", "roster"]),
    ("aggregator/src/follow", &["inbox", "roster", "stores"]),
    ("aggregator/src/api", &["incidents", "roster", "stores"]),
    ("aggregator/src/peers", &["api", "config", "roster"]),
];

/// Crates that only one crate may name.
const OWNED: &[(&str, &str)] = &[
    ("quinn", "proto/link"),
    ("quinn_proto", "proto/link"),
    ("rustls", "proto/link"),
    ("tokio_rustls", "proto/link"),
    ("rcgen", "proto/link"),
    ("x509_parser", "proto/link"),
    ("rusqlite", "aggregator"),
    ("axum", "aggregator"),
    ("clap_mangen", "proto/program"),
    ("tracing_subscriber", "proto/program"),
    ("zbus", "agent"),
    ("notify", "agent"),
    ("reqwest", "aggregator/ctl"),
    ("simple_dns", "agent"),
];

/// What proto, policy and spool do without: I/O, clocks, chance.
const IMPURE: &[&str] = &["tokio", "futures", "rand", "chrono", "jiff", "time", "nix", "libc"];

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 800;
/// Lines of most files before their tests; those over it are listed and should be few.
const FILE_LINES_USUAL: usize = 450;
/// Share of files that may be over [`FILE_LINES_USUAL`]. Percent.
const LONG_FILES_PERCENT_MAX: usize = 5;

/// No names: they say nothing.
const BANNED_NAMES: &[&str] = &[
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

/// Words that say something is left undone. Built here so that this file does not hold them itself.
fn undone() -> Vec<String> {
    [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["#[ig", "nore"]].map(|word| word.concat()).to_vec()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the workspace").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of a folder, by its path in the repository; build output and git's own left out.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    let root = root();
    let name = |path: &PathBuf| path.strip_prefix(&root).expect("below").display().to_string();
    let mut names: Vec<String> = found.iter().map(name).collect();
    names.sort();
    names
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the tree").flatten() {
        let path = entry.path();
        let is_ours =
            !["target", ".git", "corpus", "artifacts"].iter().any(|no| path.ends_with(no));
        if path.is_dir() && is_ours {
            walk(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn rust_files(folder: &str) -> BTreeMap<String, String> {
    let rust = files(folder).into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| (path.clone(), read(&path))).collect()
}

/// The sources of a crate that it is shipped with.
fn sources() -> impl Iterator<Item = (&'static str, String, String)> {
    let of = |(room, _): &(&'static str, _)| {
        let room = *room;
        rust_files(&format!("{room}/src")).into_iter().map(move |(path, text)| (room, path, text))
    };
    WALLS.iter().flat_map(of)
}

fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The text without comments and strings, so that only code is judged.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut is_quoted = false;
        for part in line.split("//").next().unwrap_or_default().split('"') {
            if !is_quoted {
                code.push_str(part);
            }
            code.push(' ');
            is_quoted = !is_quoted;
        }
        code.push('\n');
    }
    code
}

/// First names of the paths in some code: `tokio` of `use tokio::net` and of `tokio::spawn(…)`.
fn roots_of_paths(code: &str) -> BTreeSet<&str> {
    let mut roots = BTreeSet::new();
    for (at, _) in code.match_indices("::") {
        let before = &code[..at];
        let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        let is_first = !before[..start].ends_with("::") && start < at;
        if is_first {
            roots.insert(&before[start..]);
        }
    }
    roots
}

/// Rooms of the own crate that some code names: `a` and `b` of `crate::a::X` and `crate::{a, b::Y}`.
fn rooms_used(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            None => {
                rooms.insert(word(rest));
            }
            Some(list) => {
                let mut depth = 0;
                let mut begins = true;
                for (at, letter) in list.char_indices() {
                    match letter {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' => begins = depth == 0 || begins,
                        _ if letter.is_whitespace() => {}
                        _ if begins && depth == 0 => {
                            rooms.insert(word(&list[at..]));
                            begins = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    rooms
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The dependencies in a manifest, tests' own left out, as code calls them.
fn dependencies(room: &str) -> BTreeSet<String> {
    let manifest: toml::Table = read(&format!("{room}/Cargo.toml")).parse().expect("a manifest");
    let table = manifest.get("dependencies").and_then(toml::Value::as_table);
    table.into_iter().flat_map(|table| table.keys()).map(|name| name.replace('-', "_")).collect()
}

#[test]
fn crates_do_not_look_sideways() {
    for (room, may_use) in WALLS {
        for name in dependencies(room) {
            let is_ours = name.starts_with("muster_") || name == "musterctl";
            assert!(!is_ours || may_use.contains(&name.as_str()), "{room} may not use {name}");
        }
    }
    for (room, path, text) in sources().filter(|(_, path, _)| !is_test(path)) {
        let own: BTreeSet<&str> = ["muster_agent", "muster_aggregator", "musterctl"].into();
        let may_use = WALLS.iter().find(|wall| wall.0 == room).expect("listed").1;
        for used in roots_of_paths(&code(before_tests(&text))) {
            let is_main = path.ends_with("src/main.rs") && own.contains(used);
            let is_ours = used.starts_with("muster_") || used == "musterctl";
            assert!(!is_ours || is_main || may_use.contains(&used), "{path}: may not use {used}");
        }
    }
}

#[test]
fn rooms_do_not_look_sideways() {
    for (room, may_use) in INNER_WALLS {
        let own = room.rsplit('/').next().expect("a room");
        let crate_src = room.strip_suffix(own).expect("it ends so");
        for (path, text) in rust_files(crate_src) {
            let is_here = path.starts_with(&format!("{room}/")) || path == format!("{room}.rs");
            if !is_here || is_test(&path) {
                continue;
            }
            for used in rooms_used(&code(before_tests(&text))) {
                let is_room = used.starts_with(|c: char| c.is_ascii_lowercase());
                assert!(
                    !is_room || used == own || may_use.contains(&used.as_str()),
                    "{path}: `{own}` may not use `{used}`; see INNER_WALLS in tests/tests/tidy.rs"
                );
            }
        }
    }
}

#[test]
fn some_crates_are_named_in_one_place_only() {
    for (room, _) in WALLS {
        let names = dependencies(room);
        for (owned, owner) in OWNED.iter().filter(|(_, owner)| owner != room) {
            assert!(!names.contains(*owned), "{room}/Cargo.toml: only {owner} may use {owned}");
        }
    }
    for (room, path, text) in sources() {
        let code = code(&text);
        let used = roots_of_paths(&code);
        for (owned, owner) in OWNED.iter().filter(|(_, owner)| *owner != room) {
            // A module may be called `notify`; only a dependency is meant.
            let is_meant = used.contains(owned) && !text.contains(&format!("mod {owned}"));
            assert!(!is_meant, "{path}: only {owner} may name {owned}");
        }
    }
}

#[test]
fn the_pure_crates_stay_pure() {
    for room in ["proto", "proto/policy", "proto/spool"] {
        let names = dependencies(room);
        for impure in IMPURE {
            assert!(!names.contains(*impure), "{room}/Cargo.toml: no {impure} here");
        }
        let rules = read(&format!("{room}/.clippy.toml"));
        for banned in ["std::time::Instant::now", "std::time::SystemTime::now"] {
            assert!(rules.contains(banned), "{room}/.clippy.toml does not ban {banned}");
        }
    }
    assert!(dependencies("proto").len() <= 7, "proto: a dependency more needs a good reason");
}

#[test]
fn every_crate_keeps_the_lints() {
    for room in WALLS.iter().map(|(room, _)| *room).chain(["tests"]) {
        let manifest: toml::Table =
            read(&format!("{room}/Cargo.toml")).parse().expect("a manifest");
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(lints, Some(&toml::Value::Boolean(true)), "{room}/Cargo.toml");
    }
}

#[test]
fn files_are_not_cities_and_say_what_they_are() {
    let mut count = 0;
    let mut long = Vec::new();
    for (_, path, text) in sources() {
        let lines = before_tests(&text).lines().count();
        assert!(lines <= FILE_LINES_MAX, "{path}: {lines} lines: split it");
        count += 1;
        if lines > FILE_LINES_USUAL && !is_test(&path) {
            long.push(format!("{path}: {lines}"));
        }
        assert!(text.starts_with("//!"), "{path}: has no head that says what it is");
        let stem = Path::new(&path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(!BANNED_NAMES.contains(&stem), "{path}: banned name");
        assert!(stem != "mod", "{path}: foo.rs beside foo/, not foo/mod.rs");
    }
    println!("over {FILE_LINES_USUAL} lines: {long:#?}");
    assert!(long.len() * 100 <= count * LONG_FILES_PERCENT_MAX, "too many long files: {long:#?}");
}

#[test]
fn types_have_names_that_say_something() {
    let declares = ["struct ", "enum ", "trait ", "mod "];
    for (_, path, text) in sources() {
        for line in code(&text).lines() {
            let line = line.trim_start().trim_start_matches("pub ");
            let name = declares.iter().find_map(|word| line.strip_prefix(word)).map(word);
            let name = name.unwrap_or_default().to_lowercase();
            assert!(!BANNED_NAMES.contains(&name.as_str()), "{path}: banned name: {line}");
        }
    }
}

#[test]
fn nothing_is_left_undone() {
    let folders = WALLS.iter().map(|(room, _)| *room).chain(["tests"]);
    let rust = folders.flat_map(rust_files);
    for (path, text) in rust {
        for word in undone() {
            assert!(!text.contains(&word), "{path}: has a {word}");
        }
    }
}

#[test]
fn every_fixture_has_a_test_that_uses_it() {
    let tests: String = ["proto", "agent", "aggregator", "tests"]
        .into_iter()
        .flat_map(rust_files)
        .map(|(_, text)| text)
        .collect();
    for folder in
        ["proto/fixtures", "proto/spool/fixtures", "agent/fixtures", "aggregator/fixtures"]
    {
        for path in files(folder).into_iter().filter(|path| !path.ends_with(".md")) {
            // A recorded machine is used as a whole; so is a folder of which a test takes every file.
            let named = path.rsplit('/').next().expect("a name");
            let whole = path.split('/').nth(3).unwrap_or_default();
            let family = named.split(['-', '.']).next().expect("a beginning");
            let is_used = tests.contains(named)
                || (!whole.is_empty() && tests.contains(&format!("fixtures/proc/{whole}")))
                || tests.contains(&format!("\"{family}-"))
                || (path.starts_with("proto/spool") && tests.contains(":016x}.seg"));
            assert!(is_used, "{path}: no test uses it");
        }
    }
}

/// `tests/fuzz/Cargo.toml` and the register must name the same decoders, each of which has its file.
#[test]
fn every_fuzz_target_is_registered_everywhere() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len(), "two targets of one name");
    let manifest: toml::Table = read("tests/fuzz/Cargo.toml").parse().expect("a manifest");
    let bins = manifest["bin"].as_array().expect("binaries");
    let bins: BTreeSet<&str> = bins.iter().filter_map(|bin| bin["name"].as_str()).collect();
    assert_eq!(bins, names, "tests/fuzz/Cargo.toml");
    let folder = rust_files("tests/src/fuzz");
    let with_target = folder.values().filter(|text| text.contains("const TARGET: Target")).count();
    assert_eq!(with_target, TARGETS.len(), "a target that is not in the register");
}

/// Links of a Markdown text that lead to files: `[…](here)`, without the part behind `#`.
fn links(text: &str) -> Vec<&str> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let path = |link: &'_ str| link.split('#').next().unwrap_or_default().len();
    ends.map(|link| &link[..path(link)])
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    for path in files("").into_iter().filter(|path| path.ends_with(".md")) {
        let folder = root().join(&path).parent().expect("a folder").to_owned();
        for link in links(&read(&path)) {
            assert!(folder.join(link).exists(), "{path}: the link to {link} leads nowhere");
        }
    }
}

/// Programs that tests start must be of a package that `tests/setup.sh` installs.
#[test]
fn what_tests_start_is_installed_by_the_set_up() {
    let setup = read("tests/setup.sh");
    let programs = [
        ("promtool", "prometheus"),
        ("prometheus", "prometheus"),
        ("prometheus-node-exporter", "prometheus-node-exporter"),
        ("rsyslogd", "rsyslog"),
        ("sqlite3", "sqlite3"),
        ("journalctl", "systemd"),
        ("systemd-journal-remote", "systemd-journal-remote"),
        ("/lib/systemd/systemd-journal-remote", "systemd-journal-remote"),
        ("ps", "procps"),
        ("debootstrap", "debootstrap"),
        ("nsenter", "util-linux"),
        ("unshare", "util-linux"),
    ];
    let rust: Vec<_> =
        ["proto", "agent", "aggregator", "tests"].into_iter().flat_map(rust_files).collect();
    for (path, text) in &rust {
        for started in
            text.split("Command::new(\"").skip(1).filter_map(|rest| rest.split('"').next())
        {
            if let Some((_, package)) = programs.iter().find(|(program, _)| *program == started) {
                let is_there = setup.split([' ', '(', ')', '\n']).any(|word| word == *package);
                assert!(
                    is_there,
                    "{path} starts {started}: tests/setup.sh does not install {package}"
                );
            }
        }
    }
}

#[test]
fn the_rules_themselves_can_be_broken() {
    let used = code("use tokio::net; // quinn::X\nlet a = \"rustls::Y\"; a::b::c();");
    assert_eq!(roots_of_paths(&used), BTreeSet::from(["a", "tokio"]));
    let rooms = rooms_used("use crate::{a::{B, C}, d,\n e::F};\n crate::g::h();");
    assert_eq!(rooms, ["a", "d", "e", "g"].map(str::to_owned).into());
    assert_eq!(links("[a](b.md#c) [d](https://e) [f](#g)"), ["b.md"]);
}
