//! `make demo`: two aggregators in one datacenter, one in a second, and one agent on this very host.
//!
//! Everything is real: metrics, checks, `/var/log`, journald, certificates, QUIC on loopback. It
//! prints what arrived and how to ask for more, and cleans up on Ctrl-C. With `DEMO_SECONDS=n` it
//! stops by itself and fails when anything it promises did not arrive.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_tests::rig::{Agent, AgentOptions, Answer, Rig, TWO_AND_ONE, free_tcp_port, program};

/// A promise that is not kept within this is broken.
const PATIENCE: Duration = Duration::from_secs(45);
/// A line must be found this soon after it was written.
const LINE_LATENCY_MAX: Duration = Duration::from_secs(2);
/// At least this many verdicts about this host.
const VERDICTS_MIN: usize = 20;

fn main() -> ExitCode {
    let seconds = std::env::var("DEMO_SECONDS").ok().and_then(|text| text.parse::<u64>().ok());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    runtime.block_on(async {
        let shown = tokio::task::spawn_blocking(move || show(Demo::start(stopped)));
        tokio::spawn(async move {
            let _ = tokio::signal::ctrl_c().await;
            flag.store(true, Ordering::Relaxed);
        });
        match shown.await {
            Ok((demo, kept)) => finish(demo, kept, seconds).await,
            Err(_) => ExitCode::FAILURE,
        }
    })
}

/// Waits for the end and cleans up.
async fn finish(demo: Demo, kept: bool, seconds: Option<u64>) -> ExitCode {
    match seconds {
        _ if demo.is_stopped() => println!("\nStopped."),
        Some(seconds) => {
            let left = Duration::from_secs(seconds).saturating_sub(demo.began.elapsed());
            tokio::time::sleep(left).await;
        }
        None => {
            println!("\nRunning until Ctrl-C.");
            while !demo.is_stopped() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            println!("\nStopping.");
        }
    }
    let _ = tokio::task::spawn_blocking(move || drop(demo)).await;
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Demo {
    rig: Rig,
    agent: Agent,
    log: PathBuf,
    exporter: u16,
    began: Instant,
    stopped: Arc<AtomicBool>,
}

impl Demo {
    fn start(stopped: Arc<AtomicBool>) -> Demo {
        println!("Starting agg1 and agg2 in eqiad, agg1 in codfw, and an agent on this host …");
        let rig = Rig::new(TWO_AND_ONE);
        let log = rig.dir().join("demo.log");
        std::fs::write(&log, "the demo begins\n").expect("a log file");
        let exporter = free_tcp_port();
        let options = AgentOptions {
            logs: vec![
                log.display().to_string(),
                "/var/log/*.log".into(),
                "/var/log/*/*.log".into(),
            ],
            more: format!(
                "[logs.journald]\nenabled = true\n[metrics]\nlisten = \"127.0.0.1:{exporter}\"\n"
            ),
            ..AgentOptions::default()
        };
        let agent = rig.agent(&host_name(), &options);
        Demo { rig, agent, log, exporter, began: Instant::now(), stopped }
    }

    /// Ctrl-C was pressed; it reaches the demo's processes, too.
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn ask(&self, words: &[&str]) -> Answer {
        self.rig.ask(words)
    }
}

/// The host's own name when it is fit for a certificate.
fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name = name.unwrap_or_default().to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if name.is_empty() || !name.chars().all(fits) { "localhost".to_owned() } else { name }
}

/// Looks for something promised; what was seen, or `None` while it is not there.
type Look = fn(&Demo) -> Option<String>;

/// Shows what is promised, and says whether all of it arrived.
fn show(demo: Demo) -> (Demo, bool) {
    let promises: [(&str, Look); 5] = [
        ("this host is live", host_is_live),
        ("at least 20 verdicts about this host", verdicts),
        ("node_load1 has a value", load),
        ("a line is found less than 2 s after it was written", line),
        ("the local listener serves node_exporter's names", exporter),
    ];
    let mut kept = true;
    for (promise, look) in promises {
        match keep(&demo, look) {
            _ if demo.is_stopped() => return (demo, true),
            Some(seen) => println!("\n✓ {promise}\n{seen}"),
            None => {
                println!("\n✗ {promise}: not within {PATIENCE:?}\n{}", demo.agent.log_tail());
                kept = false;
            }
        }
    }
    print_how_to_ask(&demo);
    let _ = std::io::stdout().flush();
    (demo, kept)
}

fn keep(demo: &Demo, look: Look) -> Option<String> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE && !demo.is_stopped() {
        if let Some(seen) = look(demo) {
            return Some(seen);
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    None
}

fn host_is_live(demo: &Demo) -> Option<String> {
    let rows = demo.ask(&["hosts", "--json"]).array();
    let live =
        rows.iter().any(|row| row["host"] == demo.agent.name.as_str() && row["state"] == "live");
    live.then(|| demo.ask(&["hosts"]).out)
}

fn verdicts(demo: &Demo) -> Option<String> {
    let rows = demo.ask(&["checks", "--json"]).array();
    let count = rows.iter().filter(|row| row["host"] == demo.agent.name.as_str()).count();
    let table = demo.ask(&["checks", &demo.agent.name]).out;
    let head: Vec<&str> = table.lines().take(12).collect();
    (count >= VERDICTS_MIN).then(|| format!("{}\n… {count} verdicts\n", head.join("\n")))
}

fn load(demo: &Demo) -> Option<String> {
    let answer = demo.ask(&["metrics", "node_load1"]);
    (answer.code == 0 && answer.out.contains("node_load1")).then_some(answer.out)
}

/// Writes a line and waits until musterctl finds it.
fn line(demo: &Demo) -> Option<String> {
    let word = format!("demo-line-{}", fastrand::u64(..));
    append(&demo.log, &format!("{word} written by the demo"));
    let written = Instant::now();
    while written.elapsed() < LINE_LATENCY_MAX {
        let answer = demo.ask(&["logs", &word]);
        if answer.out.contains(&word) {
            let seen_ms = written.elapsed().as_millis();
            return Some(format!("{}found after {seen_ms} ms\n", answer.out));
        }
    }
    None
}

fn append(path: &Path, line: &str) {
    let mut file = std::fs::File::options().append(true).open(path).expect("the demo's log");
    writeln!(file, "{line}").expect("written");
}

fn exporter(demo: &Demo) -> Option<String> {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", demo.exporter)).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    let samples = page.lines().filter(|line| line.starts_with("node_")).count();
    (samples > 100).then(|| {
        format!("{samples} node_* samples on http://127.0.0.1:{}/metrics\n", demo.exporter)
    })
}

fn print_how_to_ask(demo: &Demo) {
    let ctl = program("musterctl");
    let ctl = ctl.display();
    println!("\nAsk any of the three; each answers for all:");
    for aggregator in &demo.rig.aggregators {
        println!(
            "  export MUSTER_SOCKET={}   # {}",
            aggregator.socket().display(),
            aggregator.place.name
        );
    }
    println!("  {ctl} status");
    println!("  {ctl} checks --state crit");
    println!("  {ctl} logs -f");
    println!(
        "  {ctl} metrics 'node_filesystem_avail_bytes{{mountpoint=\"/\"}}' --since 10m --step 1m"
    );
    println!(
        "  {} --config {} status",
        program("muster-agent").display(),
        demo.agent.config().display()
    );
    println!("Write into {} and see the lines arrive.", demo.log.display());
}
