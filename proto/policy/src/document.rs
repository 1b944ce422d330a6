//! TOML documents that explain every mistake at once.
//!
//! serde stops at the first error and knows no line afterwards, so configuration and policy are read
//! from the spanned tree instead: ask a [`Section`] for the keys it may have, then call
//! [`Section::finish`], which complains of every key nobody asked for.
//!
//! Several files lie over each other in the order given (a main file, then its `*.d` drop-ins in name
//! order): a later single value replaces an earlier one, tables are merged key by key, and lists of
//! tables (`[[…]]`) are appended, so that a package's drop-in adds a log file without repeating ours.

use std::cell::RefCell;
use std::collections::BTreeSet;

use toml::de::DeTable;

mod addresses;
mod complaint;
mod files;
mod nearest;
mod section;
mod units;
mod words;

pub use addresses::{AggregatorAddress, parse_address, parse_host_and_port};
pub use complaint::{Complaint, Complaints};
pub use files::{ConfigError, Unreadable, load, read_with_drop_ins};
pub use nearest::nearest;
pub use section::{Given, Section};
pub use units::{parse_bytes, parse_span};
pub use words::{parse_class, parse_host_name, parse_path, parse_word};

use complaint::place;
use section::Layer;

/// One file's text under the name that complaints shall use.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// Path as the operator knows it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

struct File<'t> {
    source: &'t SourceText,
    table: DeTable<'t>,
}

/// Parsed files and what was found wrong with them so far.
pub struct Document<'t> {
    files: Vec<File<'t>>,
    complaints: RefCell<Vec<Complaint>>,
    /// Dotted names of the keys that finished sections were asked for.
    known: RefCell<BTreeSet<String>>,
}

impl<'t> Document<'t> {
    /// Parses `sources`. Syntax errors become complaints; what could be read is read all the same.
    pub fn parse(sources: &'t [SourceText]) -> Document<'t> {
        let mut files = Vec::new();
        let mut complaints = Vec::new();
        for source in sources {
            let (table, errors) = DeTable::parse_recoverable(&source.text);
            complaints.extend(errors.iter().map(|error| {
                let (line, column) = place(&source.text, error.span().map_or(0, |span| span.start));
                let what = error.message().trim().replace('\n', ", ");
                let hint = "this is not TOML: see https://toml.io".to_owned();
                Complaint { file: source.name.clone(), line, column, what, hint }
            }));
            files.push(File { source, table: table.into_inner() });
        }
        Document { files, complaints: RefCell::new(complaints), known: RefCell::default() }
    }

    /// The top level of all files together.
    pub fn root(&self) -> Section<'_> {
        let layers = self.files.iter().map(|file| Layer { file: file.source, table: &file.table });
        Section::root(&self.complaints, &self.known, layers.collect())
    }

    /// Dotted names of every key that was asked for, as in `logs.file.paths`, of sections that are finished.
    ///
    /// For tests that compare a reference configuration with the code: what stands there and what is read.
    pub fn known_keys(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }

    /// All complaints, or `Ok` when there is none.
    ///
    /// # Errors
    /// [`Complaints`] in the order of files and lines.
    pub fn verdict(&self) -> Result<(), Complaints> {
        let mut found = self.complaints.borrow().clone();
        if found.is_empty() {
            return Ok(());
        }
        let rank = |name: &str| self.files.iter().position(|file| file.source.name == name);
        found.sort_by_key(|complaint| (rank(&complaint.file), complaint.line, complaint.column));
        found.dedup();
        Err(Complaints(found))
    }
}

/// Parses `sources`, lets `read` ask for the keys, and gives what it made of them.
///
/// # Errors
/// Every mistake, with file, line, column and a hint.
pub fn settle<C>(
    sources: &[SourceText],
    read: impl FnOnce(&Document<'_>) -> C,
) -> Result<C, Complaints> {
    let document = Document::parse(sources);
    let config = read(&document);
    document.verdict()?;
    Ok(config)
}

#[cfg(test)]
mod tests;
