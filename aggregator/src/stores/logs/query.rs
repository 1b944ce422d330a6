//! Questions about log lines: what is asked, and the plan that answers it.
//!
//! Room: `stores/logs`.  May use: `proto`.  Used by: the search, the API.
//!
//! Pure. A plan decides about one source, one severity, one text at a time.

use memchr::memmem::Finder;
use muster_proto::clock::Utc;
use muster_proto::log::Severity;
use regex::bytes::{Regex, RegexBuilder};

use super::bloom::{for_tokens, hash_token, is_token_byte};
use super::line::{LineKey, LineSource};
use crate::stores::StoreError;

/// Compiled size of a regular expression from outside. Bytes.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// Which end of time comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The latest line first.
    #[default]
    Newest,
    /// The earliest line first: the exact reverse.
    Oldest,
}

/// What lines are wanted. Empty lists and `None` ask for everything; all conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// From this moment on.
    pub since: Option<Utc>,
    /// Before this moment.
    pub until: Option<Utc>,
    /// Any of these hosts; `*` and `?` stand for any text and any character.
    pub hosts: Vec<String>,
    /// Any of these datacenters, with `*` and `?`.
    pub datacenters: Vec<String>,
    /// Any of these classes, exactly. `None` = every class: a caller who knows rights says which.
    pub classes: Option<Vec<String>>,
    /// This bad or worse.
    pub severity_max: Option<Severity>,
    /// Any of these programs, with `*` and `?`.
    pub programs: Vec<String>,
    /// Any of these paths or units, with `*` and `?`.
    pub sources: Vec<String>,
    /// The line contains this text.
    pub substring: Option<String>,
    /// ASCII case does not matter in `substring`.
    pub any_case: bool,
    /// `substring` does not begin or end within a word. The fastest way to look for a rare word.
    pub whole_words: bool,
    /// The line matches this regular expression somewhere (syntax of the crate `regex`).
    pub regex: Option<String>,
    /// At most so many lines; 0 = as many as the budget allows.
    pub limit: usize,
    /// Which end of time comes first.
    pub order: Order,
    /// Only what follows this line in the order: the next page.
    pub after: Option<LineKey>,
}

/// A checked question, ready to be asked of each block.
pub(super) struct Plan {
    pub(super) since: i64,
    pub(super) until: i64,
    pub(super) severities: u8,
    pub(super) classes: Option<Vec<String>>,
    pub(super) limit: usize,
    pub(super) order: Order,
    pub(super) after: Option<LineKey>,
    /// Every matching line holds all these tokens.
    pub(super) tokens: Vec<u64>,
    hosts: Vec<String>,
    datacenters: Vec<String>,
    programs: Vec<String>,
    sources: Vec<String>,
    substring: Option<Substring>,
    regex: Option<Pattern>,
}

enum Substring {
    Exact(Box<Finder<'static>>, bool),
    AnyCase(Regex, bool),
}

struct Pattern {
    line: Regex,
    /// Runs over many lines at once; finds at least every line that `line` matches.
    many: Option<Regex>,
}

impl Plan {
    /// Checks a question.
    ///
    /// # Errors
    /// [`StoreError::Question`] when the regular expression is wrong or too large.
    pub(super) fn new(query: &LogQuery) -> Result<Plan, StoreError> {
        let mut since = query.since.map_or(i64::MIN, |at| at.0);
        let mut until = query.until.map_or(i64::MAX, |at| at.0);
        if let Some(after) = &query.after {
            match query.order {
                Order::Newest => until = until.min(after.at.0.saturating_add(1)),
                Order::Oldest => since = since.max(after.at.0),
            }
        }
        let severities = query.severity_max.map_or(0xff, |worst| 0xffu8 >> (7 - worst as u8));
        let text = query.substring.as_deref().filter(|text| !text.is_empty());
        Ok(Plan {
            since,
            until,
            severities,
            classes: query.classes.clone(),
            limit: if query.limit == 0 { usize::MAX } else { query.limit },
            order: query.order,
            after: query.after.clone(),
            tokens: text.map_or_else(Vec::new, |text| whole_tokens(text, query.whole_words)),
            hosts: query.hosts.clone(),
            datacenters: query.datacenters.clone(),
            programs: query.programs.clone(),
            sources: query.sources.clone(),
            substring: text.map(|text| Substring::new(text, query)).transpose()?,
            regex: query.regex.as_deref().map(Pattern::new).transpose()?,
        })
    }

    pub(super) fn wants_class(&self, class: &str) -> bool {
        self.classes.as_ref().is_none_or(|classes| classes.iter().any(|wanted| wanted == class))
    }

    /// Whether lines of this source are wanted.
    pub(super) fn wants_source(&self, source: &LineSource) -> bool {
        self.wants_class(&source.class)
            && any_matches(&self.hosts, &source.host)
            && any_matches(&self.datacenters, &source.datacenter)
            && any_matches(&self.programs, &source.program)
            && any_matches(&self.sources, &source.name)
    }

    /// True when sources matter at all.
    pub(super) fn has_source_filter(&self) -> bool {
        ![&self.hosts, &self.datacenters, &self.programs, &self.sources]
            .into_iter()
            .all(Vec::is_empty)
    }

    pub(super) fn wants_time(&self, at: i64) -> bool {
        at >= self.since && at < self.until
    }

    pub(super) fn has_text_filter(&self) -> bool {
        self.substring.is_some() || self.regex.is_some()
    }

    /// The next place at or after `from` where a line may match; no matching line is passed over.
    pub(super) fn candidate(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..)?;
        match (&self.substring, &self.regex) {
            (Some(Substring::Exact(finder, _)), _) => finder.find(rest).map(|at| from + at),
            (Some(Substring::AnyCase(regex, _)), _) => regex.find_at(text, from).map(|m| m.start()),
            (None, Some(Pattern { many: Some(many), .. })) => {
                many.find_at(text, from).map(|found| found.start())
            }
            _ => (from < text.len()).then_some(from),
        }
    }

    /// Whether one line's text is wanted.
    pub(super) fn wants_text(&self, line: &[u8]) -> bool {
        self.substring.as_ref().is_none_or(|substring| substring.is_in(line))
            && self.regex.as_ref().is_none_or(|regex| regex.line.is_match(line))
    }
}

impl Substring {
    fn new(text: &str, query: &LogQuery) -> Result<Substring, StoreError> {
        if !query.any_case {
            return Ok(Substring::Exact(
                Box::new(Finder::new(text).into_owned()),
                query.whole_words,
            ));
        }
        let regex = RegexBuilder::new(&regex::escape(text))
            .unicode(false)
            .case_insensitive(true)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(question("the text"))?;
        Ok(Substring::AnyCase(regex, query.whole_words))
    }

    fn is_in(&self, line: &[u8]) -> bool {
        let (words, mut from) = match self {
            Substring::Exact(_, words) | Substring::AnyCase(_, words) => (*words, 0),
        };
        loop {
            let found = match self {
                Substring::Exact(finder, _) => finder
                    .find(&line[from..])
                    .map(|at| from + at..from + at + finder.needle().len()),
                Substring::AnyCase(regex, _) => {
                    regex.find_at(line, from).map(|found| found.range())
                }
            };
            match found {
                None => return false,
                Some(span) if !words || is_whole(line, &span) => return true,
                Some(span) => from = span.start + 1,
            }
        }
    }
}

/// Whether no word reaches over the edges of `span`.
fn is_whole(line: &[u8], span: &std::ops::Range<usize>) -> bool {
    let is_cut = |edge: usize| {
        edge > 0 && edge < line.len() && is_token_byte(line[edge - 1]) && is_token_byte(line[edge])
    };
    !is_cut(span.start) && !is_cut(span.end)
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, StoreError> {
        let build = |many: bool| {
            RegexBuilder::new(text)
                .multi_line(many)
                .size_limit(REGEX_BYTES_MAX)
                .dfa_size_limit(REGEX_BYTES_MAX)
                .build()
                .map_err(question("the regular expression"))
        };
        let many = if may_run_over_lines(text) { Some(build(true)?) } else { None };
        Ok(Pattern { line: build(false)?, many })
    }
}

/// Whether the expression, with `^` and `$` at every newline, matches wherever it matches one line.
///
/// Not so when it names the ends of the text or switches flags off; then lines are tried one by one.
fn may_run_over_lines(text: &str) -> bool {
    let switches = text.match_indices("(?").any(|(at, _)| {
        text[at + 2..]
            .bytes()
            .take_while(|byte| byte.is_ascii_alphabetic() || *byte == b'-')
            .any(|byte| matches!(byte, b'-' | b'R' | b'm'))
    });
    !switches && !text.contains("\\A") && !text.contains("\\z")
}

fn question(what: &'static str) -> impl FnOnce(regex::Error) -> StoreError {
    move |source| StoreError::Question { what, source: source.into() }
}

/// The tokens that every line with `text` in it holds whole: not those at the text's edges, which
/// may go on in the line, unless the text stands for whole words.
fn whole_tokens(text: &str, whole_words: bool) -> Vec<u64> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    for_tokens(bytes, |token| {
        if whole_words || (token.start > 0 && token.end < bytes.len()) {
            tokens.push(hash_token(&bytes[token.start..token.end]));
        }
    });
    tokens
}

fn any_matches(globs: &[String], text: &str) -> bool {
    globs.is_empty() || globs.iter().any(|glob| glob_matches(glob.as_bytes(), text.as_bytes()))
}

/// `*` stands for any bytes, `?` for any one byte. Takes at most glob × text steps.
pub(super) fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                g += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((back, from)) => {
                    *from += 1;
                    (g, t) = (*back + 1, *from);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, text, expected) in [
            ("db*", "db1150.eqiad", true),
            ("db*.codfw", "db1150.eqiad", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("d?1*0*", "db1150x", true),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(glob_matches(glob.as_bytes(), text.as_bytes()), expected, "{glob} {text}");
        }
    }

    #[test]
    fn only_tokens_that_must_be_whole_are_used() {
        let of =
            |words: &[&str]| words.iter().map(|w| hash_token(w.as_bytes())).collect::<Vec<_>>();
        assert!(whole_tokens("refused", false).is_empty());
        assert_eq!(whole_tokens("refused", true), of(&["refused"]));
        assert_eq!(whole_tokens("a connection refused", false), of(&["connection"]));
        assert_eq!(
            whole_tokens(" a connection refused.", false),
            of(&["a", "connection", "refused"])
        );
    }

    #[test]
    fn whole_words() {
        let plan = |text: &str| {
            let query =
                LogQuery { substring: Some(text.into()), whole_words: true, ..LogQuery::default() };
            Plan::new(&query).unwrap()
        };
        assert!(plan("fuse").wants_text(b"refused, fuse"));
        assert!(!plan("fuse").wants_text(b"refused"));
        assert!(plan("=x").wants_text(b"a=x"));
        assert!(!plan("=x").wants_text(b"a=xy"));
    }

    #[test]
    fn expressions_that_name_the_ends_of_the_text_stay_in_their_line() {
        for (text, expected) in [
            ("a.*b", true),
            ("^a$", true),
            ("(?i)a", true),
            ("(?P<x>a)", true),
            ("\\Aa", false),
            ("a\\z", false),
            ("(?-m)^a", false),
            ("(?R)a$", false),
        ] {
            assert_eq!(may_run_over_lines(text), expected, "{text}");
        }
    }
}
