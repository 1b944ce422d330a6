//! From the configuration's words to what the log room wants.

use crate::config::LogsConfig;
use crate::logs::{FileSource, JournaldSource, LogSettings};

/// What to read.
pub(super) fn settings(config: &LogsConfig) -> LogSettings {
    let files = config.files.iter().map(|file| FileSource {
        paths: file.paths.clone(),
        exclude: file.exclude.clone(),
        class: file.class.clone(),
        ..FileSource::default()
    });
    let journald = config.journald.enabled.then(|| JournaldSource {
        directory: config.journald.directory.clone(),
        class: config.journald.class.clone(),
        ..JournaldSource::default()
    });
    LogSettings { files: files.collect(), journald, ..LogSettings::default() }
}
