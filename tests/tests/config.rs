//! Mistakes in configurations come out all at once, each with its place and a hint, and the exit codes
//! say what kind of trouble it is.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use muster_tests::rig::program;

/// A user and a group that own nothing.
const NOBODY: u32 = 65_534;

/// Exit code and everything printed.
fn run(name: &str, config: &Path, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(program(name));
    command.arg("--config").arg(config).args(words);
    let output = command.output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}

/// Writes the configuration and checks what `check-config` and `run` say of it.
#[track_caller]
fn check(name: &str, text: &str, code: i32, expected: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("it.toml");
    std::fs::write(&config, text).unwrap();
    for verb in ["check-config", "run"] {
        let (found, out) = run(name, &config, &[verb]);
        assert_eq!(found, code, "{name} {verb}: {out}");
        for wanted in expected {
            let place = format!("{}:{wanted}", config.display());
            let has_place =
                wanted.split_once(':').is_some_and(|(line, _)| line.parse::<u32>().is_ok());
            let wanted = if has_place { &place } else { *wanted };
            assert!(out.contains(wanted), "{name} {verb} should say {wanted:?}:\n{out}");
        }
    }
}

#[test]
fn the_agent_tells_five_mistakes_at_once() {
    let text = r#"
[agent]
state_dri = "/var/lib/muster/agent"

[metrics]
interval = "15 parsecs"

[[uplink.datacenter]]
name = "eqiad"
aggregators = ["agg1.eqiad.example.org"]

[checks."fs.spcae"]
warn = 10

[checks."fs.space"]
crit = "much"
"#;
    let expected = [
        "3:1: unknown key `agent.state_dri`",
        "hint: did you mean `state_dir`?",
        "6:12: wrong value of `metrics.interval`",
        "10:16: wrong value of `uplink.datacenter.aggregators`",
        "e.g. \"agg1.eqiad.example.org:7460\"",
        "12:1: there is no check `fs.spcae`",
        "hint: did you mean `fs.space`?",
        "16:8:",
        "5 mistakes",
    ];
    check("muster-agent", text, 78, &expected);
}

#[test]
fn the_aggregator_tells_five_mistakes_at_once() {
    let text = r#"
[aggregator]
name = "agg 1"
dataventer = "eqiad"

[listen]
quic = "7460"

[[peer]]
name = "agg2"
datacenter = "eqiad"
address = "agg2"

[class.web]
retention = "forever"
"#;
    let expected = [
        "2:1: `aggregator.datacenter` is missing",
        "3:8: wrong value of `aggregator.name`",
        "4:1: unknown key `aggregator.dataventer`",
        "hint: did you mean `datacenter`?",
        "7:8: wrong value of `listen.quic`",
        "12:11: wrong value of `peer.address`",
        "15:13: wrong value of `class.web.retention`",
        "6 mistakes",
    ];
    check("muster-aggregator", text, 78, &expected);
}

#[test]
fn mistakes_of_all_drop_ins_come_together_and_syntax_has_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("agent.toml");
    std::fs::write(&config, "[agent]\nstate_dri = \"/x\"\n").unwrap();
    std::fs::create_dir(dir.path().join("agent.d")).unwrap();
    std::fs::write(dir.path().join("agent.d/50-broken.toml"), "[host\nrole = 1\n").unwrap();
    let (code, out) = run("muster-agent", &config, &["check-config"]);
    assert_eq!(code, 78, "{out}");
    assert!(out.contains("agent.toml:2:1: unknown key"), "{out}");
    assert!(out.contains("50-broken.toml:1:"), "{out}");
}

#[test]
fn files_that_are_absent_or_closed() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["muster-agent", "muster-aggregator"] {
        let absent = dir.path().join("absent.toml");
        let (code, out) = run(name, &absent, &["check-config"]);
        assert_eq!(code, 78, "{name}: {out}");
        assert!(out.contains("absent.toml"), "{name}: {out}");
        let closed = dir.path().join("closed.toml");
        std::fs::write(&closed, "").unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
        // No file is closed to root: it asks as somebody else.
        let mut command = Command::new(program(name));
        if std::fs::read(&closed).is_ok() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.arg("--config").arg(&closed).arg("check-config").output();
        match output {
            Ok(output) => {
                let out = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(77), "{name}: {out}");
                assert!(out.contains("closed.toml"), "{name}: {out}");
            }
            Err(error) => println!("{name} cannot be started as somebody else: {error}"),
        }
    }
}

#[test]
fn words_that_do_not_exist() {
    for name in ["muster-agent", "muster-aggregator"] {
        let (code, out) = run(name, Path::new("/dev/null"), &["chekc-config"]);
        assert_eq!(code, 2, "{name}: {out}");
        assert!(out.contains("check-config"), "{name} has a hint: {out}");
    }
    let (code, out) = run("muster-agent", Path::new("/dev/null"), &["checks", "run", "no.such"]);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("checks list"), "{out}");
}

#[test]
fn manuals_and_completions() {
    for name in ["muster-agent", "muster-aggregator", "musterctl"] {
        let output = |words: &[&str]| {
            let output = Command::new(program(name)).args(words).output().unwrap();
            assert!(output.status.success(), "{name} {words:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let page = output(&["man"]);
        assert!(page.contains(".TH") && page.contains(".SH COMMANDS"), "{name}: {page}");
        for shell in ["bash", "zsh", "fish"] {
            let script = output(&["completions", shell]);
            assert!(script.contains(name) && script.lines().count() > 20, "{name} {shell}");
        }
    }
}

/// `| head` is a normal end, a full disk is an error; neither is a panic.
#[test]
fn listings_whose_reader_has_gone_and_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("it.toml");
    std::fs::write(&config, "").unwrap();
    let listings: [&[&str]; 5] = [
        &["check-config"],
        &["checks", "list", "--json"],
        &["checks", "list"],
        &["metrics", "--json"],
        &["metrics"],
    ];
    for words in listings {
        let start = |out: Stdio| {
            let mut command = Command::new(program("muster-agent"));
            command.arg("--config").arg(&config).args(words);
            command.stdout(out).stderr(Stdio::piped()).spawn().unwrap()
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = start(writer.into()).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = start(full.into()).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(70), "{words:?}: {said}");
        assert!(said.contains("cannot print: No space left on device"), "{words:?}: {said}");
    }
}

#[test]
fn packaged_configurations_parse() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/etc/muster");
    for (name, file) in [("muster-agent", "agent.toml"), ("muster-aggregator", "aggregator.toml")] {
        let (code, out) = run(name, &packaging.join(file), &["check-config"]);
        assert_eq!(code, 0, "{name}: {out}");
    }
}
