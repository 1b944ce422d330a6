//! `[logs]`: which files and which journal.

use std::path::PathBuf;

use muster_policy::document::{Section, parse_class, parse_path};

/// Class of lines for which none was given.
const CLASS_DEFAULT: &str = "system";

/// `[logs]`
#[derive(Debug, Clone)]
pub struct LogsConfig {
    /// `[[logs.file]]`
    pub files: Vec<FileConfig>,
    /// `[logs.journald]`
    pub journald: JournaldConfig,
}

/// `[[logs.file]]`
#[derive(Debug, Clone)]
pub struct FileConfig {
    /// Globs of absolute paths.
    pub paths: Vec<String>,
    /// Globs of paths to leave out.
    pub exclude: Vec<String>,
    /// Log class: decides retention and who may read. Default `system`.
    pub class: String,
}

/// `[logs.journald]`
#[derive(Debug, Clone)]
pub struct JournaldConfig {
    /// Default `true`.
    pub enabled: bool,
    /// Journal directory; default: the system's.
    pub directory: Option<PathBuf>,
    /// Log class. Default `system`.
    pub class: String,
}

pub(super) fn settle(section: Section<'_>) -> LogsConfig {
    let logs = LogsConfig {
        files: section.sections("file").into_iter().filter_map(settle_file).collect(),
        journald: settle_journald(section.section("journald")),
    };
    section.finish();
    logs
}

fn settle_file(section: Section<'_>) -> Option<FileConfig> {
    if section.strings("paths").is_none_or(|paths| paths.is_empty()) {
        section.missing("paths", "list globs, e.g. paths = [\"/var/log/*.log\"]");
    }
    let file = FileConfig {
        paths: globs(&section, "paths"),
        exclude: globs(&section, "exclude"),
        class: section.parse("class", parse_class).unwrap_or_else(|| CLASS_DEFAULT.to_owned()),
    };
    section.finish();
    (!file.paths.is_empty()).then_some(file)
}

fn settle_journald(section: Section<'_>) -> JournaldConfig {
    let journald = JournaldConfig {
        enabled: section.boolean("enabled").unwrap_or(true),
        directory: section.parse("directory", parse_path),
        class: section.parse("class", parse_class).unwrap_or_else(|| CLASS_DEFAULT.to_owned()),
    };
    section.finish();
    journald
}

fn globs(section: &Section<'_>, key: &'static str) -> Vec<String> {
    let mut globs = Vec::new();
    for given in section.strings(key).unwrap_or_default() {
        if !given.value.starts_with('/') {
            let what = format!("wrong value of `logs.file.{key}`");
            given.complain(what, format!("\"{}\" is not absolute", given.value));
        } else if let Err(error) = globset::Glob::new(&given.value) {
            let what = format!("wrong value of `logs.file.{key}`");
            given.complain(what, format!("not a glob: {}", error.kind()));
        } else {
            globs.push(given.value);
        }
    }
    globs
}
