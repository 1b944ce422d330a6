//! For tests: the reference configuration of a package, compared with the code that reads it.
//!
//! A line `#key = …` there shows the default, `#~ …` an example of a key without one.

use std::collections::BTreeSet;
use std::fmt::Debug;

use muster_policy::document::{Complaints, Document, SourceText};
use toml::Value;

/// A reference configuration and the code that reads it.
pub struct Reference<C> {
    /// The file of the package.
    pub text: &'static str,
    /// What it must be equal to: nothing but the keys that have no default.
    pub least: &'static str,
    /// The code, whole.
    pub settle: fn(&[SourceText]) -> Result<C, Complaints>,
    /// The code that asks a document for its keys.
    pub read: fn(&Document<'_>) -> C,
}

impl<C: Debug> Reference<C> {
    /// Compares everything.
    ///
    /// # Panics
    /// When the file says something else than the code does.
    #[track_caller]
    pub fn check(&self) {
        let least = self.settled(self.least);
        assert_eq!(self.settled(self.text), least, "the file says what the code does without it");
        assert_eq!(
            self.settled(&self.uncommented(false)),
            least,
            "the defaults shown are the defaults"
        );
        let text = self.uncommented(true);
        self.settled(&text);
        let sources = [source(&text)];
        let document = Document::parse(&sources);
        (self.read)(&document);
        let mut shown = BTreeSet::new();
        match text.parse::<toml::Table>() {
            Ok(table) => keys("", &Value::Table(table), &mut shown),
            Err(error) => panic!("{error}"),
        }
        let missing: Vec<String> = document.known_keys().difference(&shown).cloned().collect();
        assert!(missing.is_empty(), "not in the reference configuration: {missing:?}");
    }

    fn uncommented(&self, examples: bool) -> String {
        let line = |line: &'static str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with("~ ") => {
                if examples {
                    &rest[2..]
                } else {
                    ""
                }
            }
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
            _ => line,
        };
        self.text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    fn settled(&self, text: &str) -> String {
        match (self.settle)(&[source(text)]) {
            Ok(config) => format!("{config:#?}"),
            Err(complaints) => panic!("{complaints}"),
        }
    }
}

fn source(text: &str) -> SourceText {
    SourceText { name: "reference.toml".into(), text: text.to_owned() }
}

/// Dotted names of all keys in a table; the elements of a list of tables have the list's name.
fn keys(prefix: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                let name =
                    if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                found.insert(name.clone());
                keys(&name, value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(prefix, item, found)),
        _ => {}
    }
}
