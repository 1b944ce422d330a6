//! The fleet as a Prometheus page (text format 0.0.4).
//!
//! Names and labels are the hosts' own, so dashboards for node_exporter work; `host` and `datacenter` are added.
//! A host's own label of such a name becomes `exported_host`, as Prometheus does when it scrapes.

use std::fmt::Write as _;

use muster_proto::metric::MetricType;

use super::fleet::Fleet;
use super::problem::Problem;
use super::rows::SeriesRow;

/// One page. Bytes.
const PAGE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Writes the page. `series` is sorted by name.
///
/// # Errors
/// [`Problem`] 422 when it would be too large.
pub(super) fn write_page(
    fleet: &Fleet,
    series: &[SeriesRow],
    unanswered: &[String],
) -> Result<String, Problem> {
    let mut page = String::new();
    write_peers(&mut page, fleet, unanswered);
    write_hosts(&mut page, fleet);
    write_checks(&mut page, fleet);
    let mut family = "";
    for row in series.iter().filter(|row| is_name(&row.name)) {
        if row.name != family {
            family = &row.name;
            let _ = writeln!(page, "# TYPE {family} {}", word(row.kind));
        }
        write_sample(&mut page, row);
        if page.len() > PAGE_BYTES_MAX {
            return Err(Problem::too_much(format!(
                "more than {PAGE_BYTES_MAX} bytes; match[] fewer series"
            )));
        }
    }
    Ok(page)
}

fn write_hosts(page: &mut String, fleet: &Fleet) {
    page.push_str("# HELP muster_host_up Whether the host gave a sign of life in time.\n# TYPE muster_host_up gauge\n");
    for host in fleet.hosts.values() {
        let up = u8::from(host.state == "live" || host.state == "late");
        page.push_str("muster_host_up");
        write_labels(page, &[("host", &host.host), ("datacenter", &host.datacenter)]);
        let _ = writeln!(page, " {up}");
    }
}

/// One sample for each check, for the verdict that it says: `sum by (verdict)` counts. Four samples a check, three
/// of them 0, would quadruple the page.
fn write_checks(page: &mut String, fleet: &Fleet) {
    page.push_str("# HELP muster_check_state 1 for the verdict that the check says.\n# TYPE muster_check_state gauge\n");
    for check in &fleet.checks {
        page.push_str("muster_check_state");
        let labels = [
            ("host", check.host.as_str()),
            ("datacenter", &check.datacenter),
            ("id", &check.id),
            ("instance", &check.instance),
            ("verdict", check.verdict.name()),
        ];
        write_labels(page, &labels);
        page.push_str(" 1\n");
    }
    page.push_str("# HELP muster_check_stale 1 for a check whose verdict no longer counts.\n# TYPE muster_check_stale gauge\n");
    for check in fleet.checks.iter().filter(|check| check.stale) {
        page.push_str("muster_check_stale");
        let labels = [
            ("host", check.host.as_str()),
            ("datacenter", &check.datacenter),
            ("id", &check.id),
            ("instance", &check.instance),
        ];
        write_labels(page, &labels);
        page.push_str(" 1\n");
    }
}

fn write_peers(page: &mut String, fleet: &Fleet, unanswered: &[String]) {
    page.push_str("# HELP muster_aggregator_answered Whether the aggregator's hosts are on this page.\n# TYPE muster_aggregator_answered gauge\n");
    let answered = fleet.aggregators.iter().map(|part| (part.aggregator.as_str(), 1));
    for (name, answered) in answered.chain(unanswered.iter().map(|name| (name.as_str(), 0))) {
        page.push_str("muster_aggregator_answered");
        write_labels(page, &[("aggregator", name)]);
        let _ = writeln!(page, " {answered}");
    }
}

fn write_sample(page: &mut String, row: &SeriesRow) {
    let (Some(time), Some(value)) = (row.time, row.value) else { return };
    let mut labels = vec![("host", row.host.as_str()), ("datacenter", row.datacenter.as_str())];
    for (name, value) in row.labels.iter().filter(|(name, _)| is_name(name)) {
        let name = match name.as_str() {
            "host" => "exported_host",
            "datacenter" => "exported_datacenter",
            name => name,
        };
        labels.push((name, value));
    }
    page.push_str(&row.name);
    write_labels(page, &labels);
    let _ = writeln!(page, " {value} {}", time.0.as_millis());
}

fn write_labels(page: &mut String, labels: &[(&str, &str)]) {
    for (place, (name, value)) in labels.iter().enumerate() {
        page.push(if place == 0 { '{' } else { ',' });
        page.push_str(name);
        page.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => page.push_str("\\\\"),
                '"' => page.push_str("\\\""),
                '\n' => page.push_str("\\n"),
                c => page.push(c),
            }
        }
        page.push('"');
    }
    page.push('}');
}

/// A name from a host that would break the page is left out.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':'))
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
}

fn word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Untyped => "untyped",
    }
}
