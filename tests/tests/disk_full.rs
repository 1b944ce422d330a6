//! The disk of the agent is full, then that of an aggregator: nobody exits, no line of a file is lost,
//! somebody says so meanwhile, and everything goes on by itself when there is room again.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use muster_tests::rig::{
    Agent, AgentOptions, ONE, PAIR, PATIENCE, Rig, Rotation, SmallDisk, Tally, Writer, eventually,
    pause,
};
use serde_json::Value;

/// Lines written between two looks.
const BURST_LINES: u64 = 2_000;
/// How long everybody is left alone with the full disk.
const FULL_FOR: Duration = Duration::from_secs(3);
/// Everything goes on within this after there is room again; it says "a second" in the design.
const RESUMED_WITHIN: Duration = Duration::from_secs(10);

/// One story at a time: each has processes enough for two processors.
static ALONE: Mutex<()> = Mutex::new(());

struct Story {
    agent: Agent,
    rig: Rig,
    writer: Writer,
}

impl Story {
    fn check_alive(&mut self) {
        assert!(self.agent.is_running(), "the agent exited:\n{}", self.agent.log_tail());
        for aggregator in &mut self.rig.aggregators {
            let tail = aggregator.log_tail();
            let running = aggregator.process.as_mut().is_some_and(|process| process.is_running());
            assert!(running, "an aggregator exited:\n{tail}");
        }
    }

    fn log_options(rig: &Rig) -> (AgentOptions, Writer) {
        let logs = rig.dir().join("logs");
        std::fs::create_dir(&logs).expect("a directory for the logs");
        let path = logs.join("app.log");
        let options =
            AgentOptions { logs: vec![format!("{}*", path.display())], ..AgentOptions::default() };
        (options, Writer::new(&path, Rotation::Rename { every: 20_000, keep: 1_000 }))
    }
}

#[test]
fn the_agents_disk() {
    let _alone = ALONE.lock();
    let rig = Rig::new(ONE);
    let (options, mut writer) = Story::log_options(&rig);
    let mut agent = rig.enrolled("host1.test", &options);
    let Some(disk) = SmallDisk::over(&agent.state_dir(), 64) else { return };
    agent.start();
    writer.write(BURST_LINES);
    Tally::settle(&rig, writer.written(), PATIENCE);
    let mut story = Story { agent, rig, writer };
    // Unmounted before the rig removes its directory.
    let mut disk = disk;

    eventually("the log lane is refused", PATIENCE, || {
        disk.fill();
        story.writer.write(BURST_LINES);
        story.check_alive();
        refused(&story.agent, "logs").then_some(())
    });
    let full = Instant::now();
    let said = eventually("the aggregator hears of the full disk", PATIENCE, || {
        story.check_alive();
        let checks = story.rig.ask(&["checks", "--json", "--id", "agent.spool"]).array();
        let logs = checks.into_iter().find(|row| row["instance"] == "logs")?;
        (logs["verdict"] == "crit").then_some(logs)
    });
    println!("told after {:.1} s: {}", full.elapsed().as_secs_f64(), said["message"]);
    assert!(said["message"].as_str().unwrap().contains("cannot write"), "{said}");
    assert!(!refused(&story.agent, "state"), "the state lane writes on");
    story.agent.kill();
    story.agent.start();
    eventually("the agent starts on a full disk", PATIENCE, || {
        story.check_alive();
        story.agent.status()
    });
    let began = Instant::now();
    while began.elapsed() < FULL_FOR {
        story.writer.write(BURST_LINES);
        story.check_alive();
        pause(Duration::from_millis(100));
    }
    eventually("the log lane is refused again", PATIENCE, || {
        refused(&story.agent, "logs").then_some(())
    });

    disk.free();
    let freed = Instant::now();
    eventually("the log lane writes", PATIENCE, || (!refused(&story.agent, "logs")).then_some(()));
    println!("writes {:.1} s after there is room", freed.elapsed().as_secs_f64());
    assert!(freed.elapsed() < RESUMED_WITHIN, "resumed after {:?}", freed.elapsed());
    Tally::settle(&story.rig, story.writer.written(), PATIENCE);
    println!("{} lines once after {:.1} s", story.writer.written(), freed.elapsed().as_secs_f64());
    eventually("the check is well again", PATIENCE, || {
        let checks = story.rig.ask(&["checks", "--json", "--id", "agent.spool"]).array();
        checks.iter().all(|row| row["verdict"] == "ok").then_some(())
    });
    story.check_alive();
}

#[test]
fn an_aggregators_disk() {
    let _alone = ALONE.lock();
    let mut rig = Rig::new(PAIR);
    let (options, mut writer) = Story::log_options(&rig);
    let agent = rig.agent("host1.test", &options);
    writer.write(BURST_LINES);
    Tally::settle(&rig, writer.written(), PATIENCE);
    let serving = serving(&agent);
    let place = rig.aggregators.iter().position(|a| a.place.name == serving).unwrap();
    rig.aggregators[place].stop();
    let folder = rig.aggregators[place].state_dir();
    let Some(disk) = SmallDisk::over(&folder, 96) else { return };
    rig.aggregators[place].start();
    // The other one makes way, so that the agent has only the full one for a while.
    rig.aggregators[1 - place].stop();
    let mut story = Story { agent, rig, writer };
    // Unmounted before the rig removes its directory.
    let mut disk = disk;
    eventually("the agent is served by the one with the small disk", PATIENCE, || {
        (self::serving(&story.agent) == serving).then_some(())
    });

    let full = Instant::now();
    let said = eventually("the aggregator says that its disk is full", PATIENCE, || {
        disk.fill();
        story.writer.write(BURST_LINES);
        assert!(story.agent.is_running(), "the agent exited:\n{}", story.agent.log_tail());
        let said = problems(&story, place);
        (!said.is_empty()).then_some(said)
    });
    println!("told after {:.1} s: {said:?}", full.elapsed().as_secs_f64());
    eventually("its checks of itself are critical", PATIENCE, || {
        disk.fill();
        let rows = own_checks(&story, place);
        let is_crit = |id: &str| rows.iter().any(|row| row["id"] == id && row["verdict"] == "crit");
        (is_crit("aggregator.disk") && is_crit("aggregator.inbox")).then_some(())
    });
    let began = Instant::now();
    eventually("the agent keeps its frames", PATIENCE, || {
        // What the aggregator frees of its own is taken at once.
        disk.fill();
        story.writer.write(BURST_LINES);
        assert!(story.agent.is_running(), "the agent exited:\n{}", story.agent.log_tail());
        (story.agent.waiting("logs")? > 0 && began.elapsed() > FULL_FOR).then_some(())
    });

    story.rig.aggregators[1 - place].start();
    let moved = Instant::now();
    eventually("the agent moves to the one that has room", PATIENCE, || {
        disk.fill();
        story.check_alive();
        (self::serving(&story.agent) != serving).then_some(())
    });
    println!("moved after {:.1} s", moved.elapsed().as_secs_f64());
    eventually("everything is acked elsewhere", PATIENCE, || {
        (story.agent.waiting("logs")? == 0).then_some(())
    });

    disk.free();
    let freed = Instant::now();
    eventually("the aggregator has no more problem", PATIENCE, || {
        problems(&story, place).is_empty().then_some(())
    });
    println!("well {:.1} s after there is room", freed.elapsed().as_secs_f64());
    assert!(freed.elapsed() < RESUMED_WITHIN, "resumed after {:?}", freed.elapsed());
    let rows = own_checks(&story, place);
    assert!(!rows.is_empty() && rows.iter().all(|row| row["verdict"] == "ok"), "{rows:#?}");
    story.writer.write(BURST_LINES);
    Tally::settle(&story.rig, story.writer.written(), PATIENCE);
    println!("{} lines once after {:.1} s", story.writer.written(), freed.elapsed().as_secs_f64());
    story.check_alive();
}

/// Whether the disk refuses a lane of the agent.
fn refused(agent: &Agent, lane: &str) -> bool {
    let status = agent.status().unwrap_or_default();
    let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
    lanes.iter().any(|row| row["lane"] == lane && row["refused"].is_string())
}

/// The aggregator that serves the agent now; empty when none does.
fn serving(agent: &Agent) -> String {
    agent
        .status()
        .and_then(|status| Some(status["aggregator"].as_str()?.to_owned()))
        .unwrap_or_default()
}

/// Checks of an aggregator of itself, as `musterctl checks` on it shows them.
fn own_checks(story: &Story, place: usize) -> Vec<Value> {
    let aggregator = &story.rig.aggregators[place];
    let answer = aggregator.ask(&["checks", "--json", "--id", "aggregator.*"]);
    let rows: Vec<Value> = serde_json::from_str(&answer.out).unwrap_or_default();
    rows.into_iter().filter(|row| row["host"] == aggregator.place.name).collect()
}

/// What an aggregator says is wrong with itself.
fn problems(story: &Story, place: usize) -> Vec<Value> {
    let aggregator = &story.rig.aggregators[place];
    let answer = aggregator.ask(&["status", "--json"]);
    let status: Value = serde_json::from_str(&answer.out).unwrap_or_default();
    let rows = status["aggregators"].as_array().cloned().unwrap_or_default();
    let own = rows.into_iter().find(|row| row["aggregator"] == aggregator.place.name);
    own.and_then(|row| row["problems"].as_array().cloned()).unwrap_or_default()
}
