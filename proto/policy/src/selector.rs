//! Host expressions: which hosts are meant.
//!
//! Room: `policy/selector`.  May use: nobody.  Used by: the API, musterctl, policy.
//!
//! ```text
//! expression := { [ "not" ] term }            terms are ANDed; an empty expression selects every host
//! term       := key "=" pattern { "," pattern }      the patterns are ORed
//!             | pattern { "," pattern }              short for host=…
//! key        := host | datacenter | role | tag | state | aggregator | os | kernel | agent_version
//! pattern    := text; `*` any run of characters, `?` any one; "…" keeps blanks, commas and globs plain
//! ```
//! Example: `datacenter=eqiad role=mariadb::* host=db* tag=canary not state=lost`.
//!
//! Invariants
//! - Pure and total: matching costs at most |pattern| × |value| steps, so a hostile pattern is only slow by a little.
//! - Host names compare without regard to ASCII case (RFC 4343); everything else is exact.
//! - An empty value never matches `?`, but matches `*`: `role=*` also selects hosts without a role.
//!
//! Absent on purpose: parentheses and `or` between terms. What needs them is two selectors.

use std::fmt;
use std::str::FromStr;

/// Longest expression. Bytes.
pub const SELECTOR_BYTES_MAX: usize = 4096;
/// Most terms of an expression.
pub const TERMS_MAX: usize = 64;
/// Most alternatives of one term.
pub const PATTERNS_MAX: usize = 256;

/// What a term asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the words of the grammar speak for themselves
pub enum Key {
    Host,
    Datacenter,
    Role,
    Tag,
    State,
    Aggregator,
    Os,
    Kernel,
    AgentVersion,
}

/// The keys with their words, in the order of the manual.
const KEYS: [(Key, &str); 9] = [
    (Key::Host, "host"),
    (Key::Datacenter, "datacenter"),
    (Key::Role, "role"),
    (Key::Tag, "tag"),
    (Key::State, "state"),
    (Key::Aggregator, "aggregator"),
    (Key::Os, "os"),
    (Key::Kernel, "kernel"),
    (Key::AgentVersion, "agent_version"),
];

/// The words of `state=`.
const STATES: [&str; 4] = ["live", "late", "lost", "departed"];

/// What a selector looks at. Fields that are not known are empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// Host name.
    pub host: &'a str,
    /// Datacenter.
    pub datacenter: &'a str,
    /// Role.
    pub role: &'a str,
    /// Free tags; `tag=` matches when any of them does.
    pub tags: &'a [String],
    /// `live`, `late`, `lost` or `departed`.
    pub state: &'a str,
    /// Aggregator that hears the host.
    pub aggregator: &'a str,
    /// Name of the operating system.
    pub os: &'a str,
    /// Kernel release.
    pub kernel: &'a str,
    /// Version of the agent.
    pub agent_version: &'a str,
}

/// A parsed host expression.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    not: bool,
    key: Key,
    patterns: Vec<Pattern>,
}

/// One pattern: the characters, and which of them are globs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Plain(char),
    One,
    Many,
}

/// Why an expression cannot be read, and where: `column` counts characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct SelectorError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The key is not one of the nine.
    #[error("no such key `{key}`{}; there are host, datacenter, role, tag, state, aggregator, os, kernel, agent_version", hint(.key))]
    Key {
        /// As written.
        key: String,
    },
    /// Nothing stands after `=` or `,`.
    #[error("`{key}=` needs a value; write {key}=\"\" for hosts without one")]
    Value {
        /// The key.
        key: String,
    },
    /// `not` is the last word, or stands before another `not`.
    #[error("`not` needs a term after it")]
    Not,
    /// A quote is not closed.
    #[error("the quote is not closed")]
    Quote,
    /// The state cannot match any host.
    #[error("no such state `{state}`; there are live, late, lost, departed")]
    State {
        /// As written.
        state: String,
    },
    /// A limit is exceeded.
    #[error("too long: at most {max} {unit}")]
    TooLong {
        /// The limit.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
}

impl Selector {
    /// Whether the host is meant.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.terms.iter().all(|term| term.matches(subject))
    }

    /// True when every host is meant.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Selector, SelectorError> {
        parse_selector(text)
    }
}

/// The canonical text; parses to an equal selector.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, term) in self.terms.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            let not = if term.not { "not " } else { "" };
            write!(f, "{gap}{not}{}=", word(term.key))?;
            for (place, pattern) in term.patterns.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                write!(f, "{comma}{pattern}")?;
            }
        }
        Ok(())
    }
}

impl Term {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        let any = |value: &str| self.patterns.iter().any(|pattern| pattern.matches(value));
        let found = match self.key {
            Key::Host => any(&subject.host.to_ascii_lowercase()),
            Key::Datacenter => any(subject.datacenter),
            Key::Role => any(subject.role),
            Key::Tag if subject.tags.is_empty() => any(""),
            Key::Tag => subject.tags.iter().any(|tag| any(tag)),
            Key::State => any(subject.state),
            Key::Aggregator => any(subject.aggregator),
            Key::Os => any(subject.os),
            Key::Kernel => any(subject.kernel),
            Key::AgentVersion => any(subject.agent_version),
        };
        found != self.not
    }
}

impl Pattern {
    /// Greedy match with one point of return: the last `*`. Never exponential.
    fn matches(&self, value: &str) -> bool {
        let (pieces, mut at) = (&self.0, 0);
        let mut rest = value.chars();
        let mut back: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            if pieces.get(at) == Some(&Piece::Many) {
                at += 1;
                back = Some((at, rest.clone()));
                continue;
            }
            let mut ahead = rest.clone();
            let fits = match (pieces.get(at), ahead.next()) {
                (None, None) => return true,
                (Some(Piece::Plain(wanted)), Some(found)) => *wanted == found,
                (Some(Piece::One), Some(_)) => true,
                _ => false,
            };
            if fits {
                (at, rest) = (at + 1, ahead);
                continue;
            }
            let Some((star, mut from)) = back.take() else { return false };
            if from.next().is_none() {
                return false;
            }
            (at, rest, back) = (star, from.clone(), Some((star, from)));
        }
    }

    fn is_plain(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Plain(_)))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\"\"");
        }
        let mut rest = self.0.as_slice();
        while let Some(first) = rest.first() {
            let plain: String = rest.iter().map_while(|piece| piece.plain()).collect();
            match first {
                Piece::Many => f.write_str("*")?,
                Piece::One => f.write_str("?")?,
                // Whole runs are quoted, so that two quotes never meet; a quote inside is doubled.
                Piece::Plain(_) if plain.contains(needs_quotes) => {
                    write!(f, "\"{}\"", plain.replace('"', "\"\""))?;
                }
                Piece::Plain(_) => f.write_str(&plain)?,
            }
            rest = &rest[plain.chars().count().max(1)..];
        }
        Ok(())
    }
}

impl Piece {
    fn lower(&mut self) {
        if let Piece::Plain(c) = self {
            c.make_ascii_lowercase();
        }
    }

    fn plain(self) -> Option<char> {
        match self {
            Piece::Plain(c) => Some(c),
            Piece::One | Piece::Many => None,
        }
    }
}

fn needs_quotes(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | '*' | '?' | '=' | '"')
}

/// Reads a host expression.
///
/// # Errors
/// [`SelectorError`] with the column of the first mistake.
pub fn parse_selector(text: &str) -> Result<Selector, SelectorError> {
    let mut reader = Reader { chars: text.chars().collect(), at: 0 };
    if text.len() > SELECTOR_BYTES_MAX {
        return Err(wrong(1, Problem::TooLong { max: SELECTOR_BYTES_MAX, unit: "bytes" }));
    }
    let mut terms = Vec::new();
    while reader.skip_blanks() {
        if terms.len() == TERMS_MAX {
            return Err(wrong(reader.column(), Problem::TooLong { max: TERMS_MAX, unit: "terms" }));
        }
        terms.push(reader.term()?);
    }
    Ok(Selector { terms })
}

/// Whether the value is what the pattern says: `*` any run of characters, `?` any one, no quotes.
pub fn matches_glob(pattern: &str, value: &str) -> bool {
    let pieces = pattern.chars().map(|c| match c {
        '*' => Piece::Many,
        '?' => Piece::One,
        c => Piece::Plain(c),
    });
    Pattern(pieces.collect()).matches(value)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

impl Reader {
    fn column(&self) -> usize {
        self.at + 1
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// True when something follows.
    fn skip_blanks(&mut self) -> bool {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        self.peek().is_some()
    }

    fn term(&mut self) -> Result<Term, SelectorError> {
        let not_column = self.column();
        let not = self.take_not();
        if not && (!self.skip_blanks() || self.is_not()) {
            return Err(wrong(not_column, Problem::Not));
        }
        let key = self.key()?;
        let mut patterns = Vec::new();
        loop {
            if patterns.len() == PATTERNS_MAX {
                let problem =
                    Problem::TooLong { max: PATTERNS_MAX, unit: "alternatives of a term" };
                return Err(wrong(self.column(), problem));
            }
            patterns.push(self.pattern(key)?);
            if self.peek() != Some(',') {
                return Ok(Term { not, key, patterns });
            }
            self.at += 1;
        }
    }

    fn is_not(&self) -> bool {
        let word: String =
            self.chars[self.at..].iter().take_while(|c| !c.is_whitespace()).collect();
        word == "not"
    }

    fn take_not(&mut self) -> bool {
        let not = self.is_not();
        self.at += if not { 3 } else { 0 };
        not
    }

    /// The key of the term, with the reader after its `=`; `host` when there is none.
    fn key(&mut self) -> Result<Key, SelectorError> {
        let rest = &self.chars[self.at..];
        let length = rest
            .iter()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
            .count();
        if rest.get(length) != Some(&'=') {
            return Ok(Key::Host);
        }
        let name: String = rest[..length].iter().collect();
        let Some((key, _)) = KEYS.iter().find(|(_, word)| *word == name) else {
            return Err(wrong(self.column(), Problem::Key { key: name }));
        };
        self.at += length + 1;
        Ok(*key)
    }

    fn pattern(&mut self, key: Key) -> Result<Pattern, SelectorError> {
        let (start, mut quoted, mut pieces) = (self.column(), false, Vec::new());
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    quoted = true;
                    self.quoted(&mut pieces)?;
                    if key == Key::Host {
                        pieces.iter_mut().for_each(Piece::lower);
                    }
                    continue;
                }
                ',' => break,
                c if c.is_whitespace() => break,
                '*' => pieces.push(Piece::Many),
                '?' => pieces.push(Piece::One),
                c if key == Key::Host => pieces.push(Piece::Plain(c.to_ascii_lowercase())),
                c => pieces.push(Piece::Plain(c)),
            }
            self.at += 1;
        }
        if pieces.is_empty() && !quoted {
            return Err(wrong(start, Problem::Value { key: word(key).to_owned() }));
        }
        let pattern = Pattern(pieces);
        if key == Key::State
            && pattern.is_plain()
            && !STATES.iter().any(|state| pattern.matches(state))
        {
            let state = self.chars[start - 1..self.at].iter().collect();
            return Err(wrong(start, Problem::State { state }));
        }
        Ok(pattern)
    }

    /// From an opening quote to behind the closing one; `""` inside stands for one quote.
    fn quoted(&mut self, pieces: &mut Vec<Piece>) -> Result<(), SelectorError> {
        let start = self.column();
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(wrong(start, Problem::Quote)),
                Some('"') if self.chars.get(self.at + 1) == Some(&'"') => {
                    pieces.push(Piece::Plain('"'));
                    self.at += 2;
                }
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(c) => {
                    pieces.push(Piece::Plain(c));
                    self.at += 1;
                }
            }
        }
    }
}

fn word(key: Key) -> &'static str {
    KEYS.iter().find(|(known, _)| *known == key).map_or("", |(_, word)| word)
}

fn wrong(column: usize, problem: Problem) -> SelectorError {
    SelectorError { column, problem }
}

/// A guess at what was meant, for the usual slips.
fn hint(key: &str) -> &'static str {
    match key {
        "dc" | "site" | "region" => " (do you mean datacenter?)",
        "tags" => " (do you mean tag?)",
        "status" | "liveness" => " (do you mean state?)",
        "hosts" | "name" | "hostname" => " (do you mean host?)",
        "version" | "agent" => " (do you mean agent_version?)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

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
            let subject =
                Subject { host, datacenter, role, tags: &tags, state, ..Subject::default() };
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
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound
        }
    }
}
