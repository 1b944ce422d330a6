//! From the text of an expression to its terms, with the column of the first mistake.

use super::pattern::{Pattern, Piece};
use super::{
    KEYS, Key, PATTERNS_MAX, Problem, SELECTOR_BYTES_MAX, STATES, Selector, SelectorError,
    TERMS_MAX, Term, word,
};

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

fn wrong(column: usize, problem: Problem) -> SelectorError {
    SelectorError { column, problem }
}
