//! `muster-agent status`: what the running agent says of itself.

use std::process::ExitCode;

use muster_program::listing::{print_json, print_line, table};

use super::Outcome;
use crate::config::Config;
use crate::fatal::Fatal;
use crate::status::{Status, ask, socket_path};

pub(super) fn show(config: &Config, json: bool) -> Outcome {
    let socket = socket_path(&config.run_dir);
    let status = ask(&config.run_dir).map_err(|source| Fatal::NoAgent { socket, source })?;
    if json {
        print_json(&status)?;
    } else {
        print_line(lines(&status).join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(status: &Status) -> Vec<String> {
    let aggregator = if status.aggregator.is_empty() { "-" } else { &status.aggregator };
    let mut lines = vec![
        format!("host        {} ({})", status.host, status.datacenter),
        format!("version     {}, up {} s", status.agent_version, status.uptime_s),
        format!("memory      {:.1} MiB", status.rss_bytes as f64 / 1_048_576.0),
        format!("uplink      {} {aggregator}", status.uplink),
    ];
    lines.extend(status.last_ack_s.map(|ago| format!("last ack    {ago} s ago")));
    lines.extend(status.last_switch.as_ref().map(|last| {
        format!(
            "switches    {}, last {} s ago from {} to {}, {:.2} s without an ack",
            status.switches,
            last.ago_s,
            last.from,
            last.to,
            last.silent_ms as f64 / 1000.0
        )
    }));
    if !status.uplink_error.is_empty() {
        lines.push(format!("last error  {}", status.uplink_error));
    }
    let checks = &status.checks;
    lines.push(format!(
        "checks      {} ok, {} warn, {} crit, {} unknown",
        checks.ok, checks.warn, checks.crit, checks.unknown
    ));
    lines.push(format!("logs        {} lines, {} files", status.log_lines, status.log_files));
    lines.extend(status.log_problems.iter().map(|problem| format!("            {problem}")));
    let mut lanes = table(&["lane", "waiting", "kept", "budget", "dropped", "disk"]);
    for lane in &status.lanes {
        lanes.add_row([
            lane.lane.clone(),
            lane.frames.to_string(),
            format!("{} KiB", lane.bytes / 1024),
            format!("{} MiB", lane.budget_bytes / 1_048_576),
            lane.dropped.to_string(),
            lane.refused.clone().unwrap_or_else(|| "ok".to_owned()),
        ]);
    }
    lines.push(lanes.to_string());
    lines
}
