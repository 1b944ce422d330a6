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
use std::fmt;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

mod files;
mod nearest;
mod units;
mod words;

pub use files::{Unreadable, read_with_drop_ins};
pub use nearest::nearest;
pub use units::{parse_bytes, parse_span};
pub use words::{parse_address, parse_class, parse_host_name, parse_path, parse_word};

/// One file's text under the name that complaints shall use.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// Path as the operator knows it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// One mistake, with the place where a person finds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// Name of the file.
    pub file: String,
    /// Line, from 1; 0 when the mistake has no place (a missing key).
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
        Section {
            complaints: &self.complaints,
            known: &self.known,
            path: String::new(),
            layers: layers.collect(),
            head: None,
            asked: RefCell::default(),
        }
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

#[derive(Clone, Copy)]
struct Layer<'d> {
    file: &'d SourceText,
    table: &'d DeTable<'d>,
}

/// One table of the document: all files' tables of that name, the last one strongest.
pub struct Section<'d> {
    complaints: &'d RefCell<Vec<Complaint>>,
    known: &'d RefCell<BTreeSet<String>>,
    path: String,
    layers: Vec<Layer<'d>>,
    /// Where the table begins, for complaints about what is missing in it.
    head: Option<(&'d SourceText, usize)>,
    asked: RefCell<BTreeSet<&'static str>>,
}

/// A value and where it stands, so that later validation can point at it.
pub struct Given<'d, T> {
    /// The value.
    pub value: T,
    complaints: &'d RefCell<Vec<Complaint>>,
    file: &'d SourceText,
    at: usize,
}

impl<T> Given<'_, T> {
    /// Complains about this value.
    pub fn complain(&self, what: impl Into<String>, hint: impl Into<String>) {
        push(self.complaints, (self.file, self.at), what.into(), hint.into());
    }
}

impl<'d> Section<'d> {
    /// Dotted name of the table, empty for the top level.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether any file has this table.
    pub fn is_present(&self) -> bool {
        !self.layers.is_empty()
    }

    /// A string.
    pub fn string(&self, key: &'static str) -> Option<String> {
        self.parsed(key, "a string", |value| value.as_str().map(|text| Ok(text.to_owned())))
    }

    /// A string that `parse` understands; its `Err` is what the complaint says.
    pub fn parse<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.parsed(key, "a string", |value| value.as_str().map(&parse))
    }

    /// As [`Section::parse`], and complains with `hint` when the key is not there.
    pub fn required<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        hint: &str,
    ) -> Option<T> {
        if self.find(key).is_none() {
            self.missing(key, hint);
        }
        self.parse(key, parse)
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &'static str) -> Option<bool> {
        self.parsed(key, "true or false", |value| value.as_bool().map(Ok))
    }

    /// A whole number within `min..=max`.
    pub fn integer(&self, key: &'static str, min: i64, max: i64) -> Option<i64> {
        self.parsed(key, "a whole number", |value| {
            let integer = value.as_integer()?;
            let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
            Some(match number.filter(|number| (min..=max).contains(number)) {
                Some(number) => Ok(number),
                None => Err(format!("{integer} is outside {min} to {max}")),
            })
        })
    }

    /// A number, whole or not.
    pub fn number(&self, key: &'static str) -> Option<f64> {
        self.parsed(key, "a number", |value| {
            let text = value
                .as_float()
                .map(|float| float.as_str())
                .or_else(|| value.as_integer().map(|integer| integer.as_str()))?;
            Some(text.parse::<f64>().map_err(|_| format!("{text} is not a number")))
        })
    }

    /// A span of time such as `"15s"`, `"5m"`, `"90d"`.
    pub fn span(&self, key: &'static str) -> Option<Duration> {
        self.parsed(key, "a span of time such as \"15s\" or \"5m\"", |value| {
            value.as_str().map(parse_span)
        })
    }

    /// An amount of data such as `"512MiB"`, `"2GB"`, in bytes.
    pub fn bytes(&self, key: &'static str) -> Option<u64> {
        self.parsed(key, "an amount of data such as \"512MiB\"", |value| {
            value.as_str().map(parse_bytes)
        })
    }

    /// A list of strings; each keeps its place for complaints.
    pub fn strings(&self, key: &'static str) -> Option<Vec<Given<'d, String>>> {
        let (layer, value) = self.find(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(layer, value, key, "a list of strings");
            return None;
        };
        let mut strings = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str() {
                Some(text) => strings.push(self.place(layer, item, text.to_owned())),
                None => self.wrong_type(layer, item, key, "a list of strings"),
            }
        }
        Some(strings)
    }

    /// The table `[key]`, merged over all files; empty when no file has it.
    pub fn section(&self, key: &'static str) -> Section<'d> {
        self.asked.borrow_mut().insert(key);
        let mut found = self.empty(self.join(key));
        for layer in &self.layers {
            let Some(value) = layer.table.get(key) else { continue };
            match value.get_ref() {
                DeValue::Table(table) => found.add(layer.file, table, value.span().start),
                _ => self.wrong_type(*layer, value, key, "a table"),
            }
        }
        found
    }

    /// The list of tables `[[key]]`: those of every file, in the order of files.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'d>> {
        self.asked.borrow_mut().insert(key);
        let mut found = Vec::new();
        for layer in &self.layers {
            let Some(value) = layer.table.get(key) else { continue };
            let Some(items) = value.get_ref().as_array() else {
                self.wrong_type(*layer, value, key, "a list of tables ([[…]])");
                continue;
            };
            for item in items.iter() {
                match item.get_ref() {
                    DeValue::Table(table) => {
                        let mut section = self.empty(self.join(key));
                        section.add(layer.file, table, item.span().start);
                        found.push(section);
                    }
                    _ => self.wrong_type(*layer, item, key, "a table"),
                }
            }
        }
        found
    }

    /// The tables below this one by name, as in `[class.web]`, `[class.auth]`, merged over all files.
    pub fn named(&self) -> Vec<(String, Section<'d>)> {
        let names: BTreeSet<&str> =
            self.layers.iter().flat_map(|layer| keys(layer.table)).collect();
        let mut found = Vec::new();
        for name in names {
            let mut section = self.empty(self.join(name));
            for layer in &self.layers {
                let Some(value) = layer.table.get(name) else { continue };
                match value.get_ref() {
                    DeValue::Table(table) => section.add(layer.file, table, value.span().start),
                    _ => self.wrong_type(*layer, value, name, "a table"),
                }
            }
            if section.is_present() {
                found.push((name.to_owned(), section));
            }
        }
        found
    }

    /// Complains of the table itself.
    pub fn complain(&self, what: impl Into<String>, hint: impl Into<String>) {
        if let Some(head) = self.head {
            push(self.complaints, head, what.into(), hint.into());
        }
    }

    /// Complains that `key` is not there.
    pub fn missing(&self, key: &str, hint: impl Into<String>) {
        let what = format!("`{}` is missing", self.join(key));
        match self.head {
            Some((file, at)) => push(self.complaints, (file, at), what, hint.into()),
            None => self.complaints.borrow_mut().push(Complaint {
                file: "configuration".into(),
                line: 0,
                column: 0,
                what,
                hint: hint.into(),
            }),
        }
    }

    /// Complains of every key that nobody asked for. Call it when all keys have been read.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        self.known.borrow_mut().extend(asked.iter().map(|key| self.join(key)));
        for layer in &self.layers {
            for key in layer.table.keys() {
                let name: &str = key.get_ref();
                if asked.contains(name) {
                    continue;
                }
                let what = format!("unknown key `{}`", self.join(name));
                let hint = match nearest(name, asked.iter().copied()) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("known here: {}", known_keys(&asked)),
                };
                push(self.complaints, (layer.file, key.span().start), what, hint);
            }
        }
    }

    fn parsed<T>(
        &self,
        key: &'static str,
        wanted: &str,
        read: impl Fn(&DeValue<'_>) -> Option<Result<T, String>>,
    ) -> Option<T> {
        let (layer, value) = self.find(key)?;
        match read(value.get_ref()) {
            Some(Ok(parsed)) => Some(parsed),
            Some(Err(why)) => {
                let what = format!("wrong value of `{}`", self.join(key));
                push(self.complaints, (layer.file, value.span().start), what, why);
                None
            }
            None => {
                self.wrong_type(layer, value, key, wanted);
                None
            }
        }
    }

    /// The strongest value of a key: the last file that has it.
    fn find(&self, key: &'static str) -> Option<(Layer<'d>, &'d Spanned<DeValue<'d>>)> {
        self.asked.borrow_mut().insert(key);
        self.layers.iter().rev().find_map(|layer| Some((*layer, layer.table.get(key)?)))
    }

    fn wrong_type(&self, layer: Layer<'d>, value: &Spanned<DeValue<'_>>, key: &str, wanted: &str) {
        let what = format!("`{}` must be {wanted}", self.join(key));
        let hint = format!("it is {} here", value.get_ref().type_str());
        push(self.complaints, (layer.file, value.span().start), what, hint);
    }

    fn place<T>(&self, layer: Layer<'d>, value: &Spanned<DeValue<'_>>, inner: T) -> Given<'d, T> {
        Given {
            value: inner,
            complaints: self.complaints,
            file: layer.file,
            at: value.span().start,
        }
    }

    fn empty(&self, path: String) -> Section<'d> {
        Section {
            complaints: self.complaints,
            known: self.known,
            path,
            layers: Vec::new(),
            head: None,
            asked: RefCell::default(),
        }
    }

    fn add(&mut self, file: &'d SourceText, table: &'d DeTable<'d>, at: usize) {
        self.layers.push(Layer { file, table });
        self.head.get_or_insert((file, at));
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn keys<'d>(table: &'d DeTable<'_>) -> impl Iterator<Item = &'d str> {
    table.keys().map(|key| key.get_ref().as_ref())
}

fn known_keys(asked: &BTreeSet<&'static str>) -> String {
    asked.iter().copied().collect::<Vec<_>>().join(", ")
}

fn push(
    complaints: &RefCell<Vec<Complaint>>,
    (file, at): (&SourceText, usize),
    what: String,
    hint: String,
) {
    let (line, column) = place(&file.text, at);
    complaints.borrow_mut().push(Complaint { file: file.name.clone(), line, column, what, hint });
}

/// Line and column, both from 1, of a byte offset.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(files: &[&str], expected: Expect) {
        let sources: Vec<SourceText> = files
            .iter()
            .enumerate()
            .map(|(n, text)| SourceText { name: format!("{n}.toml"), text: (*text).to_owned() })
            .collect();
        let document = Document::parse(&sources);
        let root = document.root();
        let host = root.section("host");
        let name = host.string("name");
        let interval = host.span("interval");
        let tags = host.strings("tags").unwrap_or_default();
        for tag in tags.iter().filter(|tag| tag.value.contains(' ')) {
            tag.complain("a tag has no spaces", "use a dash");
        }
        let weight = host.integer("weight", 1, 10);
        host.finish();
        let files: Vec<_> = root
            .sections("file")
            .into_iter()
            .map(|file| {
                let path = file.string("path");
                if path.is_none() {
                    file.missing("path", "say which file");
                }
                file.finish();
                path
            })
            .collect();
        let classes: Vec<_> =
            root.section("class").named().into_iter().map(|class| class.0).collect();
        root.finish();
        let tags: Vec<_> = tags.into_iter().map(|tag| tag.value).collect();
        let outcome = match document.verdict() {
            Ok(()) => format!("{name:?} {interval:?} {tags:?} {weight:?} {files:?} {classes:?}"),
            Err(complaints) => complaints.to_string(),
        };
        expected.assert_eq(&outcome);
    }

    #[test]
    fn later_files_replace_values_and_append_tables() {
        check(
            &[
                "[host]\nname = 'a'\ninterval = '15s'\n[[file]]\npath = '/1'\n[class.web]\n",
                "[host]\nname = 'b'\ntags = ['x']\n[[file]]\npath = '/2'\n[class.auth]\n",
            ],
            expect![[r#"Some("b") Some(15s) ["x"] None [Some("/1"), Some("/2")] ["auth", "web"]"#]],
        );
    }

    #[test]
    fn every_mistake_is_named_at_once_with_its_place() {
        check(
            &[
                "[host]\nnmae = 'a'\ninterval = 15\nweight = 11\ntags = ['a b', 7]\n",
                "[[file]]\n\n  [hots]\n",
            ],
            expect![[r#"
                0.toml:2:1: unknown key `host.nmae`
                    hint: did you mean `name`?
                0.toml:3:12: `host.interval` must be a span of time such as "15s" or "5m"
                    hint: it is integer here
                0.toml:4:10: wrong value of `host.weight`
                    hint: 11 is outside 1 to 10
                0.toml:5:9: a tag has no spaces
                    hint: use a dash
                0.toml:5:16: `host.tags` must be a list of strings
                    hint: it is integer here
                1.toml:1:1: `file.path` is missing
                    hint: say which file
                1.toml:3:4: unknown key `hots`
                    hint: did you mean `host`?
                7 mistakes"#]],
        );
    }

    #[test]
    fn known_keys_are_those_somebody_asked_for() {
        let text = "[host]\nname = 'a'\n[[file]]\npath = '/1'\n".to_owned();
        let sources = [SourceText { name: "0.toml".into(), text }];
        let document = Document::parse(&sources);
        let root = document.root();
        let host = root.section("host");
        let _ = (host.string("name"), host.strings("tags"));
        host.finish();
        for file in root.sections("file") {
            let _ = file.string("path");
            file.finish();
        }
        root.finish();
        let known: Vec<String> = document.known_keys().into_iter().collect();
        assert_eq!(known, ["file", "file.path", "host", "host.name", "host.tags"]);
    }

    #[test]
    fn broken_syntax_does_not_hide_other_mistakes() {
        check(
            &["[host]\nname = \nweight = 99\n"],
            expect![[r#"
            0.toml:2:8: string values must be quoted, expected literal string
                hint: this is not TOML: see https://toml.io
            0.toml:3:10: wrong value of `host.weight`
                hint: 99 is outside 1 to 10
            2 mistakes"#]],
        );
    }
}
