//! How an error and its causes are told in one line. Only the edges (main, a log line) do this.

use std::error::Error;

/// The error, then each cause, separated by ": ".
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
