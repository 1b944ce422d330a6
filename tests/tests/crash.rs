//! kill -9 of the agent and of the aggregator that serves it, at random moments, while a program writes
//! numbered lines into a file that is rotated: afterwards every line is found exactly once.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_tests::rig::{
    Agent, AgentOptions, PAIR, PATIENCE, Rig, Rotation, Tally, Writer, eventually, pause,
};

/// Kills when `MUSTER_KILLS` does not say.
const KILLS_DEFAULT: u64 = 100;
/// Lines of one burst of the writer; one burst every [`BURST_PAUSE`].
const BURST_LINES: u64 = 20;
const BURST_PAUSE: Duration = Duration::from_millis(10);
/// A kill comes at most this long after the last one was mended. Milliseconds.
const CALM_MAX_MS: u64 = 500;
/// A killed process is started again at most this long after. Milliseconds.
const DEAD_MAX_MS: u64 = 50;

#[test]
fn every_line_is_there_once_after_many_kills() {
    let kills = number("MUSTER_KILLS").unwrap_or(KILLS_DEFAULT);
    let seed = number("MUSTER_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed} (MUSTER_SEED), {kills} kills (MUSTER_KILLS)");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut rig = Rig::new(PAIR);
    let logs = rig.dir().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let glob = format!("{}/app.log*", logs.display());
    let options = AgentOptions { logs: vec![glob], ..AgentOptions::default() };
    let mut agent = rig.agent("host1.test", &options);
    let writing = Writing::start(&logs.join("app.log"));
    let began = Instant::now();
    let mut killed = [0_u64; 2];
    for _ in 0..kills {
        pause(Duration::from_millis(rng.u64(0..CALM_MAX_MS)));
        let dead = Duration::from_millis(rng.u64(0..DEAD_MAX_MS));
        if rng.bool() {
            agent.kill();
            pause(dead);
            agent.start();
            killed[0] += 1;
        } else {
            let serving = serving(&mut agent);
            let found = rig.aggregators.iter_mut().find(|a| a.place.name == serving);
            let victim = found.expect("the agent is served by one of ours");
            victim.kill();
            pause(dead);
            victim.launch();
            killed[1] += 1;
        }
    }
    let written = writing.stop();
    let [agents, aggregators] = killed;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{agents} kills of the agent, {aggregators} of an aggregator, {written} lines, {seconds:.1} s"
    );
    rig.aggregators.iter_mut().for_each(|aggregator| aggregator.wait_ready());
    Tally::settle(&rig, written, PATIENCE);
    assert!(agent.is_running(), "the agent exited:\n{}", agent.log_tail());
    println!("settled and counted after {:.1} s", began.elapsed().as_secs_f64() - seconds);
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// The aggregator that serves the agent now.
fn serving(agent: &mut Agent) -> String {
    eventually("the agent is connected", PATIENCE, || {
        assert!(agent.is_running(), "the agent exited:\n{}", agent.log_tail());
        let status = agent.status()?;
        let name = status["aggregator"].as_str()?;
        (!name.is_empty()).then(|| name.to_owned())
    })
}

/// A thread that logs.
struct Writing {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Writing {
    fn start(path: &Path) -> Writing {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        // Many more files are kept than the agent can be behind.
        let mut writer = Writer::new(path, Rotation::Rename { every: 2_500, keep: 100 });
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                writer.write(BURST_LINES);
                pause(BURST_PAUSE);
            }
            writer.written()
        });
        Writing { stop, thread }
    }

    /// Gives the number of lines written.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
