//! The reference configuration that ships in the package, compared with the code.
//!
//! A line `#key = …` there shows the default, `#~ …` an example of a key without one.

use std::collections::BTreeSet;

use muster_policy::document::{Document, SourceText};
use toml::Value;

use super::Config;

const REFERENCE: &str = include_str!("../../../packaging/etc/muster/agent.toml");
/// What the file must be equal to.
const DEFAULTS: &str = "";

fn uncommented(examples: bool) -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("~ ") => {
            if examples {
                &rest[2..]
            } else {
                ""
            }
        }
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
        _ => line,
    };
    REFERENCE.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn settle(text: &str) -> String {
    let source = SourceText { name: "agent.toml".into(), text: text.to_owned() };
    match Config::settle(&[source]) {
        Ok(config) => format!("{config:#?}"),
        Err(complaints) => panic!("{complaints}"),
    }
}

/// Dotted names of all keys in a table; the elements of a list of tables have the list's name.
fn keys(prefix: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                let name =
                    if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                found.insert(name.clone());
                keys(&name, value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(prefix, item, found)),
        _ => {}
    }
}

#[test]
fn the_shipped_file_says_what_the_code_does_without_it() {
    assert_eq!(settle(REFERENCE), settle(DEFAULTS));
}

#[test]
fn the_defaults_shown_are_the_defaults() {
    assert_eq!(settle(&uncommented(false)), settle(DEFAULTS));
}

#[test]
fn every_known_key_is_shown_and_every_shown_key_is_known() {
    let text = uncommented(true);
    settle(&text);
    let sources = [SourceText { name: "agent.toml".into(), text: text.clone() }];
    let document = Document::parse(&sources);
    Config::read(&document);
    let mut shown = BTreeSet::new();
    keys("", &text.parse::<toml::Table>().map(Value::Table).unwrap(), &mut shown);
    let missing: Vec<String> = document.known_keys().difference(&shown).cloned().collect();
    assert!(missing.is_empty(), "not in the reference configuration: {missing:?}");
}
