//! What to read. Plain values: the configuration file is parsed elsewhere.

use std::path::PathBuf;

/// What the room reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Groups of files, in order: a file that several name belongs to the first.
    pub files: Vec<FileSource>,
    /// The journal; `None` leaves it alone.
    pub journald: Option<JournaldSource>,
    /// Use inotify. Default true; without it every glob is walked once a second.
    pub watch: bool,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { files: Vec::new(), journald: None, watch: true }
    }
}

/// Where reading of a file begins that was there before the agent ever ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// At its first line.
    #[default]
    Beginning,
    /// Behind its last one. Files that appear later are read from their beginning all the same.
    End,
}

/// Files that are read alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileSource {
    /// Absolute paths with `*`, `?`, `[a-z]`, `{a,b}` inside a component and `**` as one.
    pub paths: Vec<String>,
    /// Paths that are not read although they match. Compressed files and the binary files of login
    /// and the journal never are; see [`FileSource::EXCLUDED`].
    pub exclude: Vec<String>,
    /// Log class of the lines.
    pub class: String,
    /// Program that writes them, empty when not known.
    pub program: String,
    /// Where to begin at the very first start.
    pub start: Start,
    /// Directories that rotated files move to, besides their own.
    pub rotated_dirs: Vec<PathBuf>,
}

impl FileSource {
    /// Never read as text, whatever the globs say.
    pub const EXCLUDED: &'static [&'static str] = &[
        "**/*.gz",
        "**/*.xz",
        "**/*.zst",
        "**/*.bz2",
        "**/*.lz4",
        "**/*.zip",
        "**/*.journal",
        "**/*.journal~",
        "**/wtmp*",
        "**/btmp*",
        "**/lastlog",
        "**/faillog",
        "**/.*.sw?",
    ];
}

/// The journal, read through `journalctl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournaldSource {
    /// The program. Default `journalctl`, found by `PATH`.
    pub program: PathBuf,
    /// A directory of journal files instead of the system's journal.
    pub directory: Option<PathBuf>,
    /// First rule that fits gives the class.
    pub rules: Vec<ClassRule>,
    /// Class of what no rule fits.
    pub class: String,
    /// Our own unit: its messages are not read, or an error about a message would make a message.
    pub own_unit: String,
    /// Where to begin at the very first start.
    pub start: Start,
}

impl Default for JournaldSource {
    fn default() -> JournaldSource {
        JournaldSource {
            program: PathBuf::from("journalctl"),
            directory: None,
            rules: Vec::new(),
            class: "system".to_owned(),
            own_unit: "muster-agent.service".to_owned(),
            start: Start::Beginning,
        }
    }
}

/// Gives a class to journal messages. An empty field fits everything; others must be equal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassRule {
    /// `_SYSTEMD_UNIT`.
    pub unit: String,
    /// `SYSLOG_IDENTIFIER`.
    pub identifier: String,
    /// The class.
    pub class: String,
}

impl JournaldSource {
    /// The class of a message of `unit` that calls itself `identifier`.
    pub fn class_of(&self, unit: &str, identifier: &str) -> &str {
        let fits = |rule: &&ClassRule| {
            (rule.unit.is_empty() || rule.unit == unit)
                && (rule.identifier.is_empty() || rule.identifier == identifier)
        };
        self.rules.iter().find(fits).map_or(&self.class, |rule| &rule.class)
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A pattern is not one.
    #[error("log path {pattern:?} is not a valid pattern")]
    Glob {
        /// As it was written.
        pattern: String,
        /// What is wrong.
        source: globset::Error,
    },
    /// A pattern does not begin with `/`.
    #[error("log path {pattern:?} is not absolute")]
    Relative {
        /// As it was written.
        pattern: String,
    },
}
