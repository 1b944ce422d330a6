//! One table of a document: its keys by type, and the complaint about every key nobody asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::{Complaint, push};
use super::{SourceText, nearest, parse_bytes, parse_span};

/// The table as one file has it.
#[derive(Clone, Copy)]
pub(super) struct Layer<'d> {
    pub(super) file: &'d SourceText,
    pub(super) table: &'d DeTable<'d>,
}

/// One table of the document: all files' tables of that name, the last one strongest.
pub struct Section<'d> {
    complaints: &'d RefCell<Vec<Complaint>>,
    known: &'d RefCell<BTreeSet<String>>,
    path: String,
    layers: Vec<Layer<'d>>,
    /// Where the table begins, for complaints about what is missing in it.
    head: Option<(&'d SourceText, usize)>,
    /// The main file: where a table would stand that no file has.
    main: Option<&'d SourceText>,
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
    /// The top level.
    pub(super) fn root(
        complaints: &'d RefCell<Vec<Complaint>>,
        known: &'d RefCell<BTreeSet<String>>,
        layers: Vec<Layer<'d>>,
    ) -> Section<'d> {
        Section {
            complaints,
            known,
            path: String::new(),
            main: layers.first().map(|layer| layer.file),
            layers,
            head: None,
            asked: RefCell::default(),
        }
    }

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
        if let Some(head) = self.head.or(self.main.map(|main| (main, 0))) {
            push(self.complaints, head, what, hint.into());
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
            main: self.main,
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
