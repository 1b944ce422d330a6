//! Every aggregator is down for the length of 200 MB of logs, then up: nothing is lost, metrics are filled
//! in with their original times, and the agent stays small throughout.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_tests::rig::{
    Agent, AgentOptions, PAIR, PATIENCE, Rig, Rotation, Tally, Writer, eventually,
};

/// Logs written while nobody listens. Bytes.
const OUTAGE_BYTES: u64 = 200_000_000;
/// The outage lasts at least this long, so that there are metrics to fill in.
const OUTAGE_MIN: Duration = Duration::from_secs(8);
/// Lines written in one go.
const BURST_LINES: u64 = 10_000;
/// Most memory of the agent. KiB.
const AGENT_KIB_MAX: u64 = 40 * 1024;

#[test]
fn an_outage_of_200_mb_loses_nothing() {
    let mut rig = Rig::new(PAIR);
    let logs = rig.dir().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let path = logs.join("app.log");
    let options = AgentOptions {
        logs: vec![format!("{}*", path.display())],
        more: "[metrics]\ninterval = \"1s\"\n".to_owned(),
        ..AgentOptions::default()
    };
    let mut agent = rig.agent("host1.test", &options);
    let mut writer = Writer::new(&path, Rotation::Rename { every: 100_000, keep: 1_000 });
    writer.write(100);
    Tally::settle(&rig, writer.written(), PATIENCE);
    let point = || {
        let answer = rig.ask(&["metrics", "node_load1", "--json"]);
        (!answer.out.trim().is_empty() && answer.code == 0).then_some(())
    };
    eventually("a first metric", PATIENCE, point);

    rig.aggregators.iter_mut().for_each(|aggregator| aggregator.kill());
    let (down_at, down) = (unix_seconds(), Instant::now());
    while writer.bytes() < OUTAGE_BYTES {
        writer.write(BURST_LINES);
    }
    let patience = PATIENCE * 3;
    eventually("the agent has read everything", patience, || {
        assert!(agent.is_running(), "the agent exited:\n{}", agent.log_tail());
        let read = agent.status()?["log_lines"].as_u64()?;
        (read >= writer.written() && down.elapsed() >= OUTAGE_MIN).then_some(())
    });
    let waiting = agent.waiting("logs").unwrap_or(0);
    let up_at = unix_seconds();
    println!(
        "down for {:.1} s, {} lines, {} MB, {waiting} frames wait, agent {} KiB",
        down.elapsed().as_secs_f64(),
        writer.written(),
        writer.bytes() / 1_000_000,
        peak_kib(&agent)
    );
    assert!(waiting > 0, "nothing waits after an outage");

    let up = Instant::now();
    rig.aggregators.iter_mut().for_each(|aggregator| aggregator.start());
    eventually("everything is acked", patience, || {
        assert!(agent.is_running(), "the agent exited:\n{}", agent.log_tail());
        (agent.waiting("logs")? == 0).then_some(())
    });
    println!("acked after {:.1} s", up.elapsed().as_secs_f64());
    Tally::settle(&rig, writer.written(), patience);
    println!("every line found after {:.1} s", up.elapsed().as_secs_f64());
    backfilled(&rig, (down_at, up_at));
    let peak = peak_kib(&agent);
    println!("most memory of the agent: {peak} KiB");
    assert!(peak < AGENT_KIB_MAX, "the agent took {peak} KiB");
}

/// The series has a point for nearly every second in which nobody listened.
fn backfilled(rig: &Rig, (down_at, up_at): (u64, u64)) {
    let wanted = (up_at - down_at).saturating_sub(2) * 3 / 4;
    let mut found = 0;
    eventually(&format!("{wanted} points of the outage"), PATIENCE, || {
        let answer =
            rig.ask(&["metrics", "node_load1", "--since", "30m", "--step", "1s", "--json"]);
        let rows = answer.array();
        let points = rows.first()?["points"].as_array()?;
        let moments = points.iter().filter_map(|point| point[0].as_str()?.parse().ok());
        let seconds = moments.map(|at: jiff::Timestamp| at.as_second().unsigned_abs());
        found = seconds.filter(|second| (down_at + 1..up_at).contains(second)).count() as u64;
        (found >= wanted).then_some(())
    });
    println!("{found} points of the outage's {} s", up_at - down_at);
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

/// The most memory the agent ever had, in KiB.
fn peak_kib(agent: &Agent) -> u64 {
    agent.process.as_ref().and_then(|process| process.status_kib("VmHWM:")).expect("it runs")
}
