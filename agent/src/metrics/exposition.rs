//! Prometheus' text format, version 0.0.4.
//!
//! ```text
//! # HELP name one line of text; \ and line feed escaped
//! # TYPE name counter|gauge|untyped
//! name{label="value; \ " and line feed escaped"} number
//! ```
//! All samples of a name stand together. Written here, read by Prometheus and everybody else's parser.

use std::fmt::Write;

use muster_proto::metric::{Dict, MetricType, Scrape, Series};

use super::help;

/// Content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Appends the values of `scrape` to `out`, sorted by name. Series without a value are left out; so
/// are values without a series, should the scrape not belong to the dict.
pub fn exposition(dict: &Dict, scrape: &Scrape, out: &mut String) {
    let mut samples: Vec<(&Series, f64)> = dict
        .series
        .iter()
        .zip(&scrape.values)
        .filter_map(|(series, value)| Some((series, (*value)?)))
        .collect();
    samples.sort_by_key(|(series, _)| (&series.name, &series.labels));
    let mut family = "";
    for (series, value) in samples {
        if series.name != family {
            family = &series.name;
            head(series, out);
        }
        sample(series, value, out);
    }
}

fn head(series: &Series, out: &mut String) {
    let kind = match series.kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Untyped => "untyped",
    };
    out.extend(["# HELP ", &series.name, " "]);
    escape(&help::text(&series.name), false, out);
    out.extend(["\n# TYPE ", &series.name, " ", kind, "\n"]);
}

fn sample(series: &Series, value: f64, out: &mut String) {
    out.push_str(&series.name);
    for (at, (name, text)) in series.labels.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        out.push_str(name);
        out.push_str("=\"");
        escape(text, true, out);
        out.push('"');
    }
    if !series.labels.is_empty() {
        out.push('}');
    }
    out.push(' ');
    number(value, out);
    out.push('\n');
}

fn escape(text: &str, quotes: bool, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

fn number(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        // Writing to a String cannot fail.
        let _written = write!(out, "{value}");
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use muster_proto::clock::Utc;

    use super::*;

    type Sample<'a> = (&'a str, MetricType, &'a [(&'a str, &'a str)], Option<f64>);

    fn check(samples: &[Sample<'_>], expected: Expect) {
        let mut dict = Dict::default();
        let mut scrape = Scrape { at: Utc(0), values: Vec::new() };
        for (name, kind, labels, value) in samples {
            let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            dict.series.push(Series { name: (*name).to_owned(), kind: *kind, labels });
            scrape.values.push(*value);
        }
        let mut out = String::new();
        exposition(&dict, &scrape, &mut out);
        expected.assert_eq(&out);
    }

    #[test]
    fn families_stand_together_and_text_is_escaped() {
        use MetricType::{Counter, Gauge, Untyped};
        check(
            &[
                ("node_load1", Gauge, &[], Some(0.5)),
                ("x_total", Counter, &[("path", "C:\\a\"b\nc")], Some(f64::INFINITY)),
                ("node_load1", Gauge, &[("a", "")], Some(f64::NAN)),
                ("gone", Gauge, &[], None),
                ("node_vmstat_pgfault", Untyped, &[], Some(1e21)),
            ],
            expect![[r#"
                # HELP node_load1 Runnable and waiting tasks, average of 1 minute.
                # TYPE node_load1 gauge
                node_load1 0.5
                node_load1{a=""} NaN
                # HELP node_vmstat_pgfault Field pgfault of /proc/vmstat.
                # TYPE node_vmstat_pgfault untyped
                node_vmstat_pgfault 1000000000000000000000
                # HELP x_total See the documentation of the agent.
                # TYPE x_total counter
                x_total{path="C:\\a\"b\nc"} +Inf
            "#]],
        );
    }
}
