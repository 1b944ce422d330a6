//! A daemon's own log: to standard error, where journald picks it up.
//!
//! Under systemd the journal stamps the time; on a terminal lines have time and colour. The level
//! comes from `MUSTER_LOG`, default `info`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Begins to log. A second call changes nothing.
pub fn begin() {
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false);
    let begun = if std::env::var_os("JOURNAL_STREAM").is_some() {
        format.without_time().try_init()
    } else {
        format.try_init()
    };
    drop(begun);
}
