//! Several files over each other, and every mistake at its place.

use super::*;
use expect_test::{Expect, expect};

fn check(files: &[&str], expected: Expect) {
    let sources: Vec<SourceText> = files
        .iter()
        .enumerate()
        .map(|(n, text)| SourceText { name: format!("{n}.toml"), text: (*text).to_owned() })
        .collect();
    let document = Document::parse(&sources);
    let root = document.root();
    let host = root.section("host");
    let name = host.string("name");
    let interval = host.span("interval");
    let tags = host.strings("tags").unwrap_or_default();
    for tag in tags.iter().filter(|tag| tag.value.contains(' ')) {
        tag.complain("a tag has no spaces", "use a dash");
    }
    let weight = host.integer("weight", 1, 10);
    host.finish();
    let files: Vec<_> = root
        .sections("file")
        .into_iter()
        .map(|file| {
            let path = file.string("path");
            if path.is_none() {
                file.missing("path", "say which file");
            }
            file.finish();
            path
        })
        .collect();
    let classes: Vec<_> = root.section("class").named().into_iter().map(|class| class.0).collect();
    root.finish();
    let tags: Vec<_> = tags.into_iter().map(|tag| tag.value).collect();
    let outcome = match document.verdict() {
        Ok(()) => format!("{name:?} {interval:?} {tags:?} {weight:?} {files:?} {classes:?}"),
        Err(complaints) => complaints.to_string(),
    };
    expected.assert_eq(&outcome);
}

#[test]
fn later_files_replace_values_and_append_tables() {
    check(
        &[
            "[host]\nname = 'a'\ninterval = '15s'\n[[file]]\npath = '/1'\n[class.web]\n",
            "[host]\nname = 'b'\ntags = ['x']\n[[file]]\npath = '/2'\n[class.auth]\n",
        ],
        expect![[r#"Some("b") Some(15s) ["x"] None [Some("/1"), Some("/2")] ["auth", "web"]"#]],
    );
}

#[test]
fn every_mistake_is_named_at_once_with_its_place() {
    check(
        &[
            "[host]\nnmae = 'a'\ninterval = 15\nweight = 11\ntags = ['a b', 7]\n",
            "[[file]]\n\n  [hots]\n",
        ],
        expect![[r#"
            0.toml:2:1: unknown key `host.nmae`
                hint: did you mean `name`?
            0.toml:3:12: `host.interval` must be a span of time such as "15s" or "5m"
                hint: it is integer here
            0.toml:4:10: wrong value of `host.weight`
                hint: 11 is outside 1 to 10
            0.toml:5:9: a tag has no spaces
                hint: use a dash
            0.toml:5:16: `host.tags` must be a list of strings
                hint: it is integer here
            1.toml:1:1: `file.path` is missing
                hint: say which file
            1.toml:3:4: unknown key `hots`
                hint: did you mean `host`?
            7 mistakes"#]],
    );
}

#[test]
fn known_keys_are_those_somebody_asked_for() {
    let text = "[host]\nname = 'a'\n[[file]]\npath = '/1'\n".to_owned();
    let sources = [SourceText { name: "0.toml".into(), text }];
    let document = Document::parse(&sources);
    let root = document.root();
    let host = root.section("host");
    let _ = (host.string("name"), host.strings("tags"));
    host.finish();
    for file in root.sections("file") {
        let _ = file.string("path");
        file.finish();
    }
    root.finish();
    let known: Vec<String> = document.known_keys().into_iter().collect();
    assert_eq!(known, ["file", "file.path", "host", "host.name", "host.tags"]);
}

#[test]
fn broken_syntax_does_not_hide_other_mistakes() {
    check(
        &["[host]\nname = \nweight = 99\n"],
        expect![[r#"
        0.toml:2:8: string values must be quoted, expected literal string
            hint: this is not TOML: see https://toml.io
        0.toml:3:10: wrong value of `host.weight`
            hint: 99 is outside 1 to 10
        2 mistakes"#]],
    );
}
