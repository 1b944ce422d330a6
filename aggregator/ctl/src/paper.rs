//! Where the output goes and how it looks.

use std::io::Write;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::ending::{Ending, Fatal};
use crate::moment;

/// The output of one run.
pub(crate) struct Paper<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) err: &'a mut dyn Write,
    pub(crate) json: bool,
    pub(crate) color: bool,
    pub(crate) width: Option<u16>,
    pub(crate) zone: TimeZone,
}

impl Paper<'_> {
    /// Prints rows as a JSON array, a row a line.
    pub(crate) fn print_array(&mut self, rows: &[Value]) -> Result<(), Fatal> {
        write!(self.out, "[")?;
        for (place, row) in rows.iter().enumerate() {
            write!(self.out, "{}\n{row}", if place == 0 { "" } else { "," })?;
        }
        writeln!(self.out, "{}]", if rows.is_empty() { "" } else { "\n" })?;
        Ok(())
    }

    /// Prints a table; `nothing` when it has no rows.
    pub(crate) fn print_table(
        &mut self,
        head: &[&str],
        rows: Vec<Vec<Cell>>,
        nothing: &str,
    ) -> Result<(), Fatal> {
        if rows.is_empty() {
            writeln!(self.err, "{nothing}")?;
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        match self.width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width)
            }
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(head.iter().map(|word| self.style(Cell::new(word), None, true)));
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// A state as its colour and its word.
    pub(crate) fn state(&self, word: &str) -> Cell {
        let color = match word {
            "ok" | "live" => Some(Color::Green),
            "warn" | "late" | "warning" | "path" | "aggregator-outage" => Some(Color::Yellow),
            "crit" | "lost" | "err" | "alert" | "emerg" | "site-lost" | "hosts-lost"
            | "host-lost" => Some(Color::Red),
            "unknown" | "site-unreachable" | "isolated" => Some(Color::Magenta),
            "departed" => Some(Color::Blue),
            _ => None,
        };
        let is_bad = matches!(word, "crit" | "lost" | "alert" | "emerg" | "site-lost");
        self.style(Cell::new(if word.is_empty() { "-" } else { word }), color, is_bad)
    }

    fn style(&self, cell: Cell, color: Option<Color>, bold: bool) -> Cell {
        if !self.color {
            return cell;
        }
        let cell = if let Some(color) = color { cell.fg(color) } else { cell };
        if bold { cell.add_attribute(Attribute::Bold) } else { cell }
    }

    /// A moment of an answer, local; as it came when it is none.
    pub(crate) fn time(&self, value: &Value) -> String {
        let text = value.as_str().unwrap_or_default();
        text.parse::<Timestamp>().map_or_else(|_| plain(text), |at| moment::show(at, &self.zone))
    }

    /// Says on stderr who did not answer.
    pub(crate) fn ending(&mut self, answer: &Value) -> Result<Ending, Fatal> {
        let silent: Vec<String> = list(answer, "unanswered")
            .iter()
            .map(|name| plain(name.as_str().unwrap_or("?")))
            .collect();
        let mut ending = Ending::Fine;
        if !silent.is_empty() {
            writeln!(self.err, "musterctl: partial answer: {} did not answer", silent.join(", "))?;
            ending = Ending::Partial;
        }
        match &answer["truncated"] {
            Value::String(why) => {
                writeln!(
                    self.err,
                    "musterctl: partial answer: the search stopped early ({}); ask for less time or fewer hosts",
                    plain(why)
                )?;
                ending = Ending::Partial;
            }
            Value::Bool(true) => {
                writeln!(
                    self.err,
                    "musterctl: partial answer: there is more than fits; ask for less"
                )?;
                ending = Ending::Partial;
            }
            _ => {}
        }
        Ok(ending)
    }
}

/// A field as text for people; empty when it is not there.
pub(crate) fn text(row: &Value, field: &str) -> String {
    match &row[field] {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// A field as a list; empty when it is not there.
pub(crate) fn list<'a>(row: &'a Value, field: &str) -> &'a [Value] {
    row[field].as_array().map_or(&[], Vec::as_slice)
}

/// Text from a host, safe for a terminal: control characters are written `\x1b`, but tabs stay.
pub(crate) fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => safe.push(c),
            // Bidirectional overrides could make a line read as another one.
            c if c.is_control()
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                safe.extend(c.escape_unicode());
            }
            c => safe.push(c),
        }
    }
    safe
}
