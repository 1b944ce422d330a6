//! Expressions against hosts, and globs against a model of them.

use expect_test::{Expect, expect};

use super::pattern::Piece;
use super::*;

const FLEET: [(&str, &str, &str, &[&str], &str); 5] = [
    ("db1.eqiad", "eqiad", "mariadb::core", &["canary"], "live"),
    ("db2.eqiad", "eqiad", "mariadb::misc", &["old", "spare"], "lost"),
    ("DB3.codfw", "codfw", "mariadb::core", &[], "live"),
    ("web1.codfw", "codfw", "nginx", &["canary"], "late"),
    ("bare.codfw", "codfw", "", &[], "departed"),
];

/// The one door: an expression in, the selected hosts or the complaint out.
#[track_caller]
fn check(expression: &str, expected: Expect) {
    let selector = match parse_selector(expression) {
        Ok(selector) => selector,
        Err(error) => return expected.assert_eq(&error.to_string()),
    };
    assert_eq!(parse_selector(&selector.to_string()), Ok(selector.clone()), "{selector}");
    let selected = FLEET.iter().filter(|(host, datacenter, role, tags, state)| {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let subject = Subject { host, datacenter, role, tags: &tags, state, ..Subject::default() };
        selector.matches(&subject)
    });
    let names: Vec<&str> = selected.map(|(host, ..)| *host).collect();
    expected.assert_eq(&names.join(" "));
}

#[test]
fn terms_are_anded_and_commas_ored() {
    check("", expect!["db1.eqiad db2.eqiad DB3.codfw web1.codfw bare.codfw"]);
    check("datacenter=eqiad", expect!["db1.eqiad db2.eqiad"]);
    check(
        "datacenter=eqiad role=mariadb::* host=db* tag=canary not state=lost",
        expect!["db1.eqiad"],
    );
    check("host=db1*,web*", expect!["db1.eqiad web1.codfw"]);
    check("db?.*", expect!["db1.eqiad db2.eqiad DB3.codfw"]);
    check("db1.eqiad,web*", expect!["db1.eqiad web1.codfw"]);
    check("host=\"DB1.eqiad\"", expect!["db1.eqiad"]);
}

#[test]
fn not_turns_one_term() {
    check("not tag=canary", expect!["db2.eqiad DB3.codfw bare.codfw"]);
    check("not tag=canary,old", expect!["DB3.codfw bare.codfw"]);
    check("not host=db* not role=nginx", expect!["bare.codfw"]);
    check("state=live,late", expect!["db1.eqiad DB3.codfw web1.codfw"]);
}

#[test]
fn empty_values_can_be_asked_for() {
    check("role=\"\"", expect!["bare.codfw"]);
    check("tag=\"\"", expect!["DB3.codfw bare.codfw"]);
    check("role=?*", expect!["db1.eqiad db2.eqiad DB3.codfw web1.codfw"]);
    check("role=*", expect!["db1.eqiad db2.eqiad DB3.codfw web1.codfw bare.codfw"]);
    check("role=\"*\"", expect![""]);
}

#[test]
fn mistakes_name_the_column() {
    check(
        "host=a dc=eqiad",
        expect![
            "column 8: no such key `dc` (do you mean datacenter?); there are host, datacenter, role, tag, state, aggregator, os, kernel, agent_version"
        ],
    );
    check(
        "role=",
        expect!["column 6: `role=` needs a value; write role=\"\" for hosts without one"],
    );
    check(
        "host=a,,b",
        expect!["column 8: `host=` needs a value; write host=\"\" for hosts without one"],
    );
    check("tag=x not", expect!["column 7: `not` needs a term after it"]);
    check("not not tag=x", expect!["column 1: `not` needs a term after it"]);
    check("role=\"a", expect!["column 6: the quote is not closed"]);
    check(
        "state=dead",
        expect!["column 7: no such state `dead`; there are live, late, lost, departed"],
    );
    check(&"a ".repeat(65), expect!["column 129: too long: at most 64 terms"]);
    check(&"a".repeat(4097), expect!["column 1: too long: at most 4096 bytes"]);
}

/// A slow and plain matcher, to compare with.
fn model(pieces: &[Piece], value: &[char]) -> bool {
    match (pieces.first(), value.first()) {
        (None, None) => true,
        (Some(Piece::Many), _) if model(&pieces[1..], value) => true,
        (Some(Piece::Many), Some(_)) => model(pieces, &value[1..]),
        (Some(Piece::One), Some(_)) => model(&pieces[1..], &value[1..]),
        (Some(Piece::Plain(wanted)), Some(found)) if wanted == found => {
            model(&pieces[1..], &value[1..])
        }
        _ => false,
    }
}

#[test]
fn globs_agree_with_the_model() {
    let mut random = Lcg(7);
    let mut hits = 0;
    for _ in 0..20_000 {
        let pieces: Vec<Piece> = (0..random.below(7))
            .map(|_| {
                [Piece::Plain('a'), Piece::Plain('b'), Piece::One, Piece::Many][random.below(4)]
            })
            .collect();
        let value: String = (0..random.below(8)).map(|_| ['a', 'b'][random.below(2)]).collect();
        let expected = model(&pieces, &value.chars().collect::<Vec<_>>());
        assert_eq!(Pattern(pieces.clone()).matches(&value), expected, "{pieces:?} {value}");
        hits += usize::from(expected);
    }
    assert!(hits > 1_000, "the test must see both answers");
}

#[test]
fn a_hostile_glob_ends_soon() {
    let selector = parse_selector(&format!("role={}b", "*a".repeat(1_000))).unwrap();
    let role = "a".repeat(1_000);
    assert!(!selector.matches(&Subject { role: &role, ..Subject::default() }));
}

#[test]
fn any_text_parses_or_complains_and_prints_itself() {
    let mut random = Lcg(11);
    for _ in 0..20_000 {
        let words =
            ["host", "role", "=", ",", "*", "?", "\"", " ", "not", "a", "é", "state", "lost"];
        let text: String =
            (0..random.below(12)).map(|_| words[random.below(words.len())]).collect();
        if let Ok(selector) = parse_selector(&text) {
            assert_eq!(parse_selector(&selector.to_string()), Ok(selector), "{text}");
        }
    }
}

/// A small generator, so that this crate needs no other.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
