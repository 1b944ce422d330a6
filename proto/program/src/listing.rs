//! Listings on standard output: tables for people, JSON for programs.

use std::io::{ErrorKind, Write as _};

/// Prints a JSON document. A reader that has seen enough (`| head`) is no error.
pub fn print_json<T: serde::Serialize>(document: &T) {
    let text = match serde_json::to_string_pretty(document) {
        Ok(text) => text,
        Err(error) => return eprintln!("cannot print JSON: {error}"),
    };
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => eprintln!("cannot print: {error}"),
        _ => {}
    }
}

/// A table without frames: columns by two spaces, the way systemctl prints them.
pub fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header);
    table
}
