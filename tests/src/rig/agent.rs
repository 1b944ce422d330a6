//! One agent of a rig.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Aggregator, Process, program};

/// What an agent of a rig shall do.
#[derive(Debug, Clone, Default)]
pub struct AgentOptions {
    /// Globs of log files, class `test`.
    pub logs: Vec<String>,
    /// More lines for its configuration.
    pub more: String,
    /// State directory; default: below the rig.
    pub state_dir: Option<PathBuf>,
    /// Which aggregators it may talk to, by their place in the rig; default: all.
    pub only: Option<Vec<usize>>,
    /// The whole of `[uplink]`, instead of one that fits the rig.
    pub uplink: Option<String>,
}

/// One agent of a rig.
pub struct Agent {
    /// Host name in its certificate.
    pub name: String,
    /// The running process.
    pub process: Option<Process>,
    folder: PathBuf,
}

impl Agent {
    pub(super) fn new(folder: &Path, name: &str) -> Agent {
        std::fs::create_dir_all(folder).expect("a folder for the agent");
        Agent { name: name.to_owned(), process: None, folder: folder.to_owned() }
    }

    pub(super) fn configure(&self, aggregators: &[Aggregator], options: &AgentOptions) {
        let state_dir = options.state_dir.clone().unwrap_or_else(|| self.folder.join("state"));
        let mut text = format!(
            "[agent]\nstate_dir = \"{}\"\nrun_dir = \"{}\"\n[host]\nname = \"{}\"\n",
            state_dir.display(),
            self.run_dir().display(),
            self.name,
        );
        match &options.uplink {
            Some(uplink) => text.push_str(uplink),
            None => text.push_str(&uplink(aggregators, options.only.as_deref())),
        }
        for glob in &options.logs {
            let _ = write!(text, "[[logs.file]]\npaths = [\"{glob}\"]\nclass = \"test\"\n");
        }
        if !options.more.contains("[logs.journald]") {
            text.push_str("[logs.journald]\nenabled = false\n");
        }
        text.push_str(&options.more);
        std::fs::write(self.config(), text).expect("the configuration is written");
    }

    /// Its directory of sockets.
    pub fn run_dir(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Asks `aggregator` for a certificate.
    ///
    /// # Panics
    /// When it does not get one.
    pub fn enrol(&self, aggregator: &Aggregator) {
        let token = aggregator.token("agent");
        let (code, out) =
            self.verb(&["enroll", "--token", &token, "--aggregator", &aggregator.address()]);
        assert_eq!(code, 0, "enroll: {out}");
    }

    /// Runs another verb of `muster-agent` on this agent; gives exit code and all output.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn verb(&self, words: &[&str]) -> (i32, String) {
        let output = Command::new(program("muster-agent"))
            .arg("--config")
            .arg(self.config())
            .args(words)
            .output()
            .expect("muster-agent starts");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap_or(-1), text)
    }

    /// What it says of itself; `None` while it does not answer.
    pub fn status(&self) -> Option<Value> {
        let (code, text) = self.verb(&["status", "--json"]);
        (code == 0).then(|| serde_json::from_str(&text).ok()).flatten()
    }

    /// Frames of a lane that no aggregator has acked yet; `None` while the agent does not answer.
    pub fn waiting(&self, lane: &str) -> Option<u64> {
        let status = self.status()?;
        status["lanes"].as_array()?.iter().find(|row| row["lane"] == lane)?["frames"].as_u64()
    }

    /// Starts it.
    pub fn start(&mut self) {
        let mut command = Command::new(program("muster-agent"));
        command.arg("--config").arg(self.config()).arg("run");
        self.process = Some(Process::start(&mut command, &self.folder.join("log")));
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGTERM and a clean end.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
    }

    /// Whether it was started and still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Its state directory, when the options did not name another.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// All it has logged, over every start.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("log")).unwrap_or_default())
            .into_owned()
    }

    /// The end of its log, for messages.
    pub fn log_tail(&self) -> String {
        self.process.as_ref().map(Process::log_tail).unwrap_or_default()
    }
}

/// `[uplink]` with short spans, so that a test need not wait for minutes.
fn uplink(aggregators: &[Aggregator], only: Option<&[usize]>) -> String {
    let wanted = |place: &usize| only.is_none_or(|only| only.contains(place));
    let aggregators: Vec<&Aggregator> =
        aggregators.iter().enumerate().filter(|(place, _)| wanted(place)).map(|(_, a)| a).collect();
    let mut text = "[uplink]\nhome_stable = \"2s\"\nprobe_interval = \"500ms\"\n\
                    home_spread = \"0s\"\nheartbeat = \"2s\"\n"
        .to_owned();
    let mut datacenters: Vec<&str> = aggregators.iter().map(|a| a.place.datacenter).collect();
    datacenters.dedup();
    for datacenter in datacenters {
        let addresses: Vec<String> = aggregators
            .iter()
            .filter(|a| a.place.datacenter == datacenter)
            .map(|a| format!("\"{}\"", a.address()))
            .collect();
        let _ = write!(
            text,
            "[[uplink.datacenter]]\nname = \"{datacenter}\"\naggregators = [{}]\n",
            addresses.join(", ")
        );
    }
    text
}
