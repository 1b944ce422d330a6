//! One aggregator of a rig.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Answer, PATIENCE, Place, Process, eventually, free_tcp_port, program};

/// A local question that takes longer has no answer.
const ASK_PATIENCE: Duration = Duration::from_secs(5);

/// One aggregator of a rig.
pub struct Aggregator {
    /// Name and datacenter.
    pub place: Place,
    /// UDP port on loopback.
    pub port: u16,
    /// TCP port on loopback of the plain pages for Prometheus.
    pub metrics: u16,
    /// TCP port on loopback of the API over HTTPS.
    pub https: u16,
    /// The running process.
    pub process: Option<Process>,
    folder: PathBuf,
}

impl Aggregator {
    pub(super) fn new(folder: &Path, place: Place, port: u16) -> Aggregator {
        std::fs::create_dir_all(folder).expect("a folder for the aggregator");
        let (metrics, https) = (free_tcp_port(), free_tcp_port());
        Aggregator { place, port, metrics, https, process: None, folder: folder.to_owned() }
    }

    /// Its state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Its API socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("api.sock")
    }

    /// `name@address:port`, as an agent's configuration wants it.
    pub fn address(&self) -> String {
        format!("{}@127.0.0.1:{}", self.place.name, self.port)
    }

    pub(super) fn configure(&mut self, peers: &[(Place, u16)], more: &str) {
        let mut text = format!(
            "[aggregator]\nname = \"{}\"\ndatacenter = \"{}\"\nstate_dir = \"{}\"\nsocket = \"{}\"\n\
             [listen]\nquic = \"127.0.0.1:{}\"\nhttps = \"127.0.0.1:{}\"\nmetrics = \"127.0.0.1:{}\"\n",
            self.place.name,
            self.place.datacenter,
            self.state_dir().display(),
            self.socket().display(),
            self.port,
            self.https,
            self.metrics,
        );
        for (peer, port) in peers {
            let _ = write!(
                text,
                "[[peer]]\nname = \"{}\"\ndatacenter = \"{}\"\naddress = \"127.0.0.1:{port}\"\n",
                peer.name, peer.datacenter,
            );
        }
        text.push_str(more);
        std::fs::write(self.config(), text).expect("the configuration is written");
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("aggregator.toml")
    }

    pub(super) fn init(&self) {
        self.verb(&["init", "--organisation", "Muster rig"]);
    }

    pub(super) fn join(&self, first: &Aggregator) {
        let token = first.token("aggregator");
        self.verb(&["init", "--join", &first.address(), "--token", &token]);
    }

    /// A fresh token for one certificate.
    ///
    /// # Panics
    /// When none is made.
    pub fn token(&self, role: &str) -> String {
        self.verb(&["token", "create", "--role", role]).trim().to_owned()
    }

    /// Runs another verb of `muster-aggregator` on this aggregator; gives its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn verb(&self, words: &[&str]) -> String {
        let answer = self.try_verb(words);
        assert_eq!(answer.code, 0, "muster-aggregator {words:?}: {}", answer.err);
        answer.out
    }

    /// As [`Aggregator::verb`], for what may be refused.
    ///
    /// # Panics
    /// When the program is not there.
    pub fn try_verb(&self, words: &[&str]) -> Answer {
        let mut command = Command::new(program("muster-aggregator"));
        Aggregator::run(command.arg("--config").arg(self.config()).args(words))
    }

    /// Starts it and waits until its socket answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(&mut self) {
        self.launch();
        self.wait_ready();
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch(&mut self) {
        let mut command = Command::new(program("muster-aggregator"));
        command.arg("--config").arg(self.config()).arg("run");
        self.process = Some(Process::start(&mut command, &self.folder.join("log")));
    }

    /// Waits until its socket answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn wait_ready(&mut self) {
        eventually("the aggregator answers", PATIENCE, || {
            let running = self.process.as_mut().is_some_and(Process::is_running);
            assert!(running, "the aggregator exited:\n{}", self.log_tail());
            (self.ask(&["status", "--json"]).code == 0 || self.ask(&["status", "--json"]).code == 5)
                .then_some(())
        });
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

    /// Whether it was started and not killed.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
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

    /// Asks this aggregator alone, without its peers, over its socket: `logs?q=word`. Gives the body;
    /// empty when it does not answer. Faster than musterctl, and it does not wait for dead peers.
    pub fn ask_local(&self, page: &str) -> String {
        let join = if page.contains('?') { '&' } else { '?' };
        let question = format!(
            "GET /api/v1/{page}{join}scope=local HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n\r\n"
        );
        let mut answer = Vec::new();
        let asked = UnixStream::connect(self.socket()).and_then(|mut stream| {
            stream.set_read_timeout(Some(ASK_PATIENCE))?;
            stream.write_all(question.as_bytes())?;
            stream.read_to_end(&mut answer)
        });
        if asked.is_err() { String::new() } else { String::from_utf8_lossy(&answer).into_owned() }
    }

    /// Runs musterctl against this aggregator.
    ///
    /// # Panics
    /// When musterctl cannot be started.
    pub fn ask(&self, words: &[&str]) -> Answer {
        let mut command = Command::new(program("musterctl"));
        Aggregator::run(command.arg("--socket").arg(self.socket()).args(words))
    }

    /// Runs musterctl against this aggregator over HTTPS, with the token in a file. Its name must resolve to
    /// loopback, so it must be `localhost`.
    ///
    /// # Panics
    /// When musterctl cannot be started.
    pub fn ask_https(&self, token_file: &Path, words: &[&str]) -> Answer {
        let mut command = Command::new(program("musterctl"));
        let url = format!("https://{}:{}", self.place.name, self.https);
        command.args(["--url", &url]).arg("--token-file").arg(token_file);
        command.arg("--ca").arg(self.state_dir().join("identity").join("ca.crt"));
        Aggregator::run(command.args(words))
    }

    fn run(command: &mut Command) -> Answer {
        let output = command.output().expect("musterctl starts");
        Answer {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
