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

mod parse;
mod pattern;

pub use parse::parse_selector;
pub use pattern::matches_glob;

use pattern::Pattern;

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

fn word(key: Key) -> &'static str {
    KEYS.iter().find(|(known, _)| *known == key).map_or("", |(_, word)| word)
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
mod tests;
