//! Selectors: which series are wanted, in Prometheus' words.
//!
//! Room: `stores/metrics`.  May use: `proto`.  Used by: the metric store, the API.
//!
//! ```text
//! selector := [name] [ "{" [ matcher { "," matcher } [","] ] "}" ]      one of the two at least
//! matcher  := label op string
//! op       := "=" | "!=" | "=~" | "!~"
//! string   := '"' … '"' | "'" … "'"     with \\ \" \' \n \t inside
//! ```
//!
//! `host`, `datacenter` and `__name__` are labels like others. A label that a series does not have
//! is the empty string. Regular expressions are anchored at both ends.
//!
//! # Source
//! Prometheus, "Querying basics", instant vector selectors.

use muster_proto::metric::Series;
use regex::{Regex, RegexBuilder};

/// Text of one selector. Bytes.
const SELECTOR_BYTES_MAX: usize = 16 * 1024;
/// Compiled size of one regular expression. Bytes.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// Where a selector has a mistake, and which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selector, at byte {at}: {what}")]
pub struct SelectorError {
    /// Bytes before the mistake.
    pub at: usize,
    /// What is wrong.
    pub what: String,
}

/// A checked selector.
#[derive(Debug, Clone)]
pub struct Selector {
    matchers: Vec<Matcher>,
}

#[derive(Debug, Clone)]
struct Matcher {
    label: String,
    wanted: bool,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Pattern(Regex),
}

impl Matcher {
    fn matches(&self, text: &str) -> bool {
        let is = match &self.value {
            Value::Text(value) => value == text,
            Value::Pattern(pattern) => pattern.is_match(text),
        };
        is == self.wanted
    }
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// [`SelectorError`] points at the first mistake.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            let what = format!("longer than {SELECTOR_BYTES_MAX} bytes");
            return Err(SelectorError { at: SELECTOR_BYTES_MAX, what });
        }
        Reader { text, at: 0 }.selector()
    }

    /// Whether a host's series may be wanted at all.
    pub fn wants_host(&self, host: &str, datacenter: &str) -> bool {
        self.matchers.iter().all(|matcher| match matcher.label.as_str() {
            "host" => matcher.matches(host),
            "datacenter" => matcher.matches(datacenter),
            _ => true,
        })
    }

    /// Whether a series is wanted, of a host that is.
    pub fn wants_series(&self, series: &Series) -> bool {
        self.matchers.iter().all(|matcher| match matcher.label.as_str() {
            "host" | "datacenter" => true,
            "__name__" => matcher.matches(&series.name),
            label => {
                let found = series.labels.iter().find(|(name, _)| name == label);
                matcher.matches(found.map_or("", |(_, value)| value))
            }
        })
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn selector(mut self) -> Result<Selector, SelectorError> {
        let mut matchers = Vec::new();
        self.blanks();
        let name = self.word(true);
        if !name.is_empty() {
            let value = Value::Text(name);
            matchers.push(Matcher { label: "__name__".into(), wanted: true, value });
        }
        self.blanks();
        if self.eat("{") {
            self.blanks();
            while !self.eat("}") {
                matchers.push(self.matcher()?);
                self.blanks();
                if !self.eat(",") && !self.rest().starts_with('}') {
                    return self.wrong("expected `,` or `}`");
                }
                self.blanks();
            }
        } else if matchers.is_empty() {
            return self.wrong("expected a metric name or `{`");
        }
        self.blanks();
        if !self.rest().is_empty() {
            return self.wrong("expected the end");
        }
        Ok(Selector { matchers })
    }

    fn matcher(&mut self) -> Result<Matcher, SelectorError> {
        let label = self.word(false);
        if label.is_empty() {
            return self.wrong("expected a label name");
        }
        self.blanks();
        let ops =
            [("=~", true, true), ("!~", false, true), ("!=", false, false), ("=", true, false)];
        let Some((_, wanted, is_pattern)) = ops.into_iter().find(|(op, ..)| self.eat(op)) else {
            return self.wrong("expected `=`, `!=`, `=~` or `!~`");
        };
        self.blanks();
        let start = self.at;
        let text = self.string()?;
        let value = if is_pattern {
            let built = RegexBuilder::new(&format!("^(?s:{text})$"))
                .size_limit(REGEX_BYTES_MAX)
                .dfa_size_limit(REGEX_BYTES_MAX)
                .build();
            // The first line of the crate's drawing says only that there is an error; the last says which.
            let pattern = built.map_err(|error| SelectorError {
                at: start,
                what: error.to_string().lines().last().unwrap_or_default().to_string(),
            })?;
            Value::Pattern(pattern)
        } else {
            Value::Text(text)
        };
        Ok(Matcher { label, wanted, value })
    }

    fn string(&mut self) -> Result<String, SelectorError> {
        let quote = self.rest().chars().next();
        let Some(quote @ ('"' | '\'')) = quote else {
            return self.wrong("expected a string in quotes");
        };
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(next) = self.rest().chars().next() else {
                self.at = start;
                return self.wrong("the string does not end");
            };
            self.at += next.len_utf8();
            match next {
                _ if next == quote => return Ok(text),
                '\\' => text.push(self.escaped()?),
                _ => text.push(next),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, SelectorError> {
        let meant = match self.rest().chars().next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some(same @ ('\\' | '"' | '\'')) => same,
            _ => return self.wrong("only \\\\ \\\" \\' \\n \\t can be escaped"),
        };
        self.at += 1;
        Ok(meant)
    }

    fn word(&mut self, colons: bool) -> String {
        let fits = |(place, byte): &(usize, u8)| {
            byte.is_ascii_alphabetic()
                || *byte == b'_'
                || colons && *byte == b':'
                || *place > 0 && byte.is_ascii_digit()
        };
        let len = self.rest().bytes().enumerate().take_while(fits).count();
        let word = self.rest()[..len].to_string();
        self.at += len;
        word
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn eat(&mut self, token: &str) -> bool {
        let is = self.rest().starts_with(token);
        if is {
            self.at += token.len();
        }
        is
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn wrong<T>(&self, what: &str) -> Result<T, SelectorError> {
        Err(SelectorError { at: self.at, what: what.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::metric::MetricType;

    use super::*;

    fn check(selector: &str, expected: bool) {
        let selector_of = Selector::parse(selector).unwrap();
        let series = Series {
            name: "node_cpu_seconds_total".into(),
            kind: MetricType::Counter,
            labels: vec![("cpu".into(), "0".into()), ("mode".into(), "user \"x\"".into())],
        };
        let is = selector_of.wants_host("db1", "eqiad") && selector_of.wants_series(&series);
        assert_eq!(is, expected, "{selector}");
    }

    #[test]
    fn selectors_choose_as_prometheus_does() {
        for (selector, expected) in [
            ("node_cpu_seconds_total", true),
            ("node_cpu", false),
            (" node_cpu_seconds_total { } ", true),
            ("node_cpu_seconds_total{cpu=\"0\"}", true),
            ("node_cpu_seconds_total{cpu!=\"0\"}", false),
            ("{__name__=~\"node_cpu.*\",cpu=~'[0-9]',}", true),
            ("{__name__=~\"node_cpu\"}", false),
            ("{cpu=~\"1|0\"}", true),
            ("{cpu=~\"1|\"}", false),
            ("{mode=\"user \\\"x\\\"\"}", true),
            ("{absent=\"\"}", true),
            ("{absent!=\"\"}", false),
            ("{host=\"db1\", datacenter=~\"eq.*\"}", true),
            ("{host!~\"db.*\"}", false),
        ] {
            check(selector, expected);
        }
    }

    #[test]
    fn mistakes_are_pointed_at() {
        for (selector, at) in [
            ("", 0),
            ("{", 1),
            ("a{b}", 3),
            ("a{b=}", 4),
            ("a{b=\"x}", 4),
            ("a{b=\"x\" c=\"y\"}", 8),
            ("a{b=~\"(\"}", 5),
            ("a b", 2),
            ("a{b=\"\\q\"}", 6),
            ("9a", 0),
        ] {
            assert_eq!(Selector::parse(selector).map(|_| ()).unwrap_err().at, at, "{selector}");
        }
    }
}
