//! What is wrong with a document, and where a person finds it.

use std::cell::RefCell;
use std::fmt;

use super::SourceText;

/// One mistake, with the place where a person finds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// Name of the file.
    pub file: String,
    /// Line, from 1. What is missing with its whole table is missed in the first line of the main file.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.what)?;
        if !self.hint.is_empty() {
            write!(f, "\n    hint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// Every mistake of a document, in the order of files and lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaints(pub Vec<Complaint>);

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for complaint in &self.0 {
            writeln!(f, "{complaint}")?;
        }
        let mistakes = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        write!(f, "{} {mistakes}", self.0.len())
    }
}

impl std::error::Error for Complaints {}

/// Adds a complaint about what stands at a byte offset of a file.
pub(super) fn push(
    complaints: &RefCell<Vec<Complaint>>,
    (file, at): (&SourceText, usize),
    what: String,
    hint: String,
) {
    let (line, column) = place(&file.text, at);
    complaints.borrow_mut().push(Complaint { file: file.name.clone(), line, column, what, hint });
}

/// Line and column, both from 1, of a byte offset.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
