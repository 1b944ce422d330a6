//! muster-checks(7): the catalogue of checks as a manual page.

use std::io::{self, Write};

use crate::checks::definition::Bad;
use crate::checks::{Entry, Pace, ROUND_EVERY, catalogue};

const HEAD: &str = r#".TH muster-checks 7 "" "" Muster
.SH NAME
muster-checks \- the health checks of muster-agent
.SH DESCRIPTION
A check appears by itself when the thing it asks about exists on the host, and is retired when that is gone.
Its answer is ok, warn, crit or unknown. Every check is asked every ROUND seconds. A worse answer is shown after
so many looks in a row over so much time; a better one the same way; both are given below. An answer once shown
is left only when the value is beyond the threshold by the dead\-band. Three unreadable looks over a minute are
unknown.
.PP
Thresholds, urgency, owner and runbook of each check can be changed in
.IR /etc/muster/agent.toml :
.PP
.nf
[checks."fs.space"]
warn = 10
urgency = "page"
.fi
.PP
.B "muster\-agent checks run"
asks all of them at once and without patience.
.B "muster\-agent checks list"
says which exist on this host.
.SH CHECKS
"#;

/// Writes the page.
pub(super) fn write_page(out: &mut Vec<u8>) -> io::Result<()> {
    write!(out, "{}", HEAD.replace("ROUND", &ROUND_EVERY.as_secs().to_string()))?;
    for entry in catalogue() {
        writeln!(out, ".SS {}", entry.id)?;
        writeln!(out, "{}.\n.PP\n{}", text(&capital(entry.summary)), text(entry.manual))?;
        writeln!(out, ".TP\nThresholds\n{}", text(&thresholds(&entry)))?;
        writeln!(out, ".TP\nPatience\n{}", text(&patience(entry.pace)))?;
        writeln!(out, ".TP\nUrgency\n{}", entry.urgency.name())?;
        writeln!(out, ".TP\nFirst step\n{}", text(&capital(entry.runbook)))?;
    }
    writeln!(out, ".SH \"SEE ALSO\"\n\\fBmuster\\-agent\\fR(1), \\fBmusterctl\\fR(1)")
}

fn thresholds(entry: &Entry) -> String {
    let scale = entry.scale;
    let side = match scale.bad {
        Bad::Above => "at or above",
        Bad::Below => "below",
        Bad::Never => return "none: it is so or it is not".to_owned(),
    };
    let unit = scale.unit;
    // `%` stands at its number, other units one space after.
    let space = if unit.starts_with('%') || unit.is_empty() { "" } else { " " };
    let one = |word: &str, at: Option<f64>| at.map(|at| format!("{word} {side} {at}{space}{unit}"));
    let mut parts: Vec<String> =
        [one("warn", scale.warn), one("crit", scale.crit)].into_iter().flatten().collect();
    if scale.band > 0.0 {
        parts.push(format!("dead-band {}", scale.band));
    }
    parts.join(", ")
}

fn patience(pace: Pace) -> String {
    let of = |looks: u32, after: std::time::Duration| match (looks, after.as_secs()) {
        (1, 0) => "the first look".to_owned(),
        (looks, 0) => format!("{looks} looks"),
        (looks, seconds) => format!("{looks} looks over {seconds} s"),
    };
    format!(
        "raised after {}, cleared after {}",
        of(pace.raise_evals, pace.raise_after),
        of(pace.clear_evals, pace.clear_after)
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Plain text as roff: no escape, no request.
fn text(plain: &str) -> String {
    let escaped = plain.replace('\\', "\\e").replace('-', "\\-");
    let is_request = escaped.starts_with(['.', '\'']);
    if is_request { format!("\\&{escaped}") } else { escaped }
}
