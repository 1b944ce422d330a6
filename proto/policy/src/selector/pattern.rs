//! One pattern of a selector: `*` any run of characters, `?` any one.

use std::fmt;

/// One pattern: the characters, and which of them are globs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pattern(pub(super) Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Plain(char),
    One,
    Many,
}

impl Pattern {
    /// Greedy match with one point of return: the last `*`. Never exponential.
    pub(super) fn matches(&self, value: &str) -> bool {
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

    pub(super) fn is_plain(&self) -> bool {
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
    pub(super) fn lower(&mut self) {
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

/// Whether the value is what the pattern says: `*` any run of characters, `?` any one, no quotes.
pub fn matches_glob(pattern: &str, value: &str) -> bool {
    let pieces = pattern.chars().map(|c| match c {
        '*' => Piece::Many,
        '?' => Piece::One,
        c => Piece::Plain(c),
    });
    Pattern(pieces.collect()).matches(value)
}
