//! `muster-agent status`: what the running agent says of itself.

use std::process::ExitCode;

use muster_program::listing::{print_json, table};

use super::Outcome;
use crate::config::Config;
use crate::fatal::Fatal;
use crate::status::{Status, ask, socket_path};

pub(super) fn show(config: &Config, json: bool) -> Outcome {
    let socket = socket_path(&config.run_dir);
    let status = ask(&config.run_dir).map_err(|source| Fatal::NoAgent { socket, source })?;
    if json {
        print_json(&status);
    } else {
        print_text(&status);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_text(status: &Status) {
    println!("host        {} ({})", status.host, status.datacenter);
    println!("version     {}, up {} s", status.agent_version, status.uptime_s);
    println!("memory      {:.1} MiB", status.rss_bytes as f64 / 1_048_576.0);
    let aggregator = if status.aggregator.is_empty() { "-" } else { &status.aggregator };
    println!("uplink      {} {aggregator}", status.uplink);
    if let Some(ago) = status.last_ack_s {
        println!("last ack    {ago} s ago");
    }
    if let Some(last) = &status.last_switch {
        println!(
            "switches    {}, last {} s ago from {} to {}, {:.2} s without an ack",
            status.switches,
            last.ago_s,
            last.from,
            last.to,
            last.silent_ms as f64 / 1000.0
        );
    }
    if !status.uplink_error.is_empty() {
        println!("last error  {}", status.uplink_error);
    }
    let checks = &status.checks;
    println!(
        "checks      {} ok, {} warn, {} crit, {} unknown",
        checks.ok, checks.warn, checks.crit, checks.unknown
    );
    println!("logs        {} lines, {} files", status.log_lines, status.log_files);
    for problem in &status.log_problems {
        println!("            {problem}");
    }
    let mut lanes = table(&["lane", "waiting", "on disk", "budget", "dropped", "disk"]);
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
    println!("{lanes}");
}
