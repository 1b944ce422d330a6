//! Listings on standard output: tables for people, JSON for programs.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Standard output takes no more. A reader that has enough (`| head`) is none.
#[derive(Debug, thiserror::Error)]
#[error("cannot print")]
pub struct PrintError(#[source] pub io::Error);

/// Writes bytes to standard output. A reader that has enough (`| head`) is a normal end.
///
/// `println!` panics there, so nothing in our programs prints a listing by it.
///
/// # Errors
/// [`PrintError`]: any other error of the output, such as a full disk.
pub fn print(bytes: impl AsRef<[u8]>) -> Result<(), PrintError> {
    let mut out = io::stdout();
    match out.write_all(bytes.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(PrintError(error)),
        _ => Ok(()),
    }
}

/// Prints a text, a table or anything else that has words, and ends the line.
///
/// # Errors
/// As [`print()`].
pub fn print_line(text: impl Display) -> Result<(), PrintError> {
    print(format!("{text}\n"))
}

/// Prints a JSON document.
///
/// # Errors
/// As [`print()`]; also when the document has no form in JSON.
pub fn print_json<T: serde::Serialize>(document: &T) -> Result<(), PrintError> {
    let text = serde_json::to_string_pretty(document).map_err(io::Error::other);
    print_line(text.map_err(PrintError)?)
}

/// A table without frames: columns by two spaces, the way systemctl prints them.
pub fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header);
    table
}
