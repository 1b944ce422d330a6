//! What musterctl answered.

use serde_json::Value;

/// Whom musterctl can ask: a rig of processes, or a fleet of hosts.
pub trait Asks {
    /// Runs musterctl with these words against an aggregator that runs.
    fn ask(&self, words: &[&str]) -> Answer;
}

/// What musterctl answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// The output as a JSON array.
    pub fn array(&self) -> Vec<Value> {
        match serde_json::from_str(&self.out) {
            Ok(Value::Array(rows)) => rows,
            _ => Vec::new(),
        }
    }

    /// The output as JSON, one object a line.
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A text field of a row; empty when absent.
pub fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}
