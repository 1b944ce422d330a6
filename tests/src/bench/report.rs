//! Rows: medians, goals, peers; as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// What a number shall be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// What another program needed for the same, in the same rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Median of its rounds, in the unit of the row.
    pub median: f64,
    /// Median over the rounds of ours divided by its: what hit one round hit both.
    pub ratio: f64,
}

/// One measured thing.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Part of the bench: `logs`, `idle`, `wire`, `fleet`.
    pub part: &'static str,
    /// What was measured.
    pub what: String,
    /// Unit of all numbers of the row.
    pub unit: &'static str,
    /// Median of the rounds.
    pub median: f64,
    /// Smallest of the rounds.
    pub min: f64,
    /// Largest of the rounds.
    pub max: f64,
    /// What it shall be.
    pub goal: Option<Goal>,
    /// The peers of the same run.
    pub beside: Vec<Peer>,
    /// Each round.
    pub rounds: Vec<f64>,
}

impl Row {
    /// A row of all rounds' values.
    pub fn new(part: &'static str, what: &str, unit: &'static str, values: &[f64]) -> Row {
        let fold = |pick: fn(f64, f64) -> f64, start| values.iter().copied().fold(start, pick);
        Row {
            part,
            what: what.to_owned(),
            unit,
            median: median(values),
            min: fold(f64::min, f64::INFINITY),
            max: fold(f64::max, f64::NEG_INFINITY),
            goal: None,
            beside: Vec::new(),
            rounds: values.to_vec(),
        }
    }

    /// With a goal.
    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Row {
        self.goal = Some(goal);
        self
    }

    /// With a peer's values of the same rounds, in the same order.
    #[must_use]
    pub fn beside(mut self, name: &str, values: &[f64]) -> Row {
        let pairs = self.rounds.iter().zip(values).map(|(ours, its)| ours / its);
        let ratio = median(&pairs.collect::<Vec<_>>());
        self.beside.push(Peer { name: name.to_owned(), median: median(values), ratio });
        self
    }

    fn verdict(&self) -> &'static str {
        match self.goal {
            None => "",
            Some(Goal::AtLeast(least)) if self.median >= least => "met",
            Some(Goal::AtMost(most)) if self.median <= most => "met",
            Some(_) => "MISSED",
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The rows for people: Markdown, so that it can be pasted.
pub fn table(rows: &[Row]) -> String {
    let mut cells = vec![
        [
            "what",
            "median (min to max)",
            "goal",
            "",
            "beside, and ours divided by it, round by round",
        ]
        .map(str::to_owned),
    ];
    for row in rows {
        let goal = match row.goal {
            Some(Goal::AtLeast(least)) => format!("≥ {}", number(least)),
            Some(Goal::AtMost(most)) => format!("≤ {}", number(most)),
            None => String::new(),
        };
        let beside = row
            .beside
            .iter()
            .map(|peer| format!("{} {} ({}×)", peer.name, number(peer.median), number(peer.ratio)));
        cells.push([
            row.what.clone(),
            format!(
                "{} ({} to {}) {}",
                number(row.median),
                number(row.min),
                number(row.max),
                row.unit
            ),
            goal,
            row.verdict().to_owned(),
            beside.collect::<Vec<_>>().join("; "),
        ]);
    }
    let width =
        |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for (place, row) in cells.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if place == 0 {
            widths.iter().for_each(|width| text.push_str(&format!("|{}", "-".repeat(width + 2))));
            text.push_str("|\n");
        }
    }
    text
}

/// Three digits are more than a shared machine can promise.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.0} k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The rows for programs.
///
/// # Errors
/// Never in practice: all keys are text.
pub fn json(rows: &[Row]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_goals_and_ratios() {
        let row = Row::new("logs", "lines", "lines/CPU-s", &[3e6, 1e6, 2e6]);
        let row = row.goal(Goal::AtLeast(1.8e6)).beside("rsyslog", &[0.5e6, 0.5e6, 0.5e6]);
        let text = table(&[row]);
        assert!(text.contains("2.00 M (1.00 M to 3.00 M) lines/CPU-s"), "{text}");
        assert!(text.contains("| met"), "{text}");
        assert!(text.contains("rsyslog 500 k (4.00×)"), "{text}");
        // A slow minute hit both: the ratio is that of each round.
        let row = Row::new("logs", "lines", "lines/CPU-s", &[2e6, 1e6, 2e6]);
        let row = row.beside("rsyslog", &[1e6, 0.1e6, 0.2e6]);
        assert!((row.beside[0].ratio - 10.0).abs() < 1e-9, "{row:?}");
        let slow = Row::new("idle", "RSS", "MiB", &[20.0]).goal(Goal::AtMost(15.0));
        assert!(table(&[slow]).contains("MISSED"));
    }
}
