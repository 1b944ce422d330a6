//! The status socket: whoever connects gets one JSON document about the running agent.
//!
//! Room: `agent::status`.  May use: `lanes`, `uplink`, `checks`, `logs`.  Used by: `app`, `commands`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;

/// Mode of the socket.
pub const SOCKET_MODE: u32 = 0o660;
/// A reader that does not read is cut off after this.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// A status document. Bytes.
const STATUS_BYTES_MAX: u64 = 1024 * 1024;

/// What a running agent says of itself. The names are an interface (`muster-agent status --json`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Host name.
    pub host: String,
    /// Datacenter the host stands in.
    pub datacenter: String,
    /// Version of the program.
    pub agent_version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// `live`, `away`, `connecting`, `offline`, `not-enrolled`.
    pub uplink: String,
    /// Aggregator it talks to; empty when none.
    pub aggregator: String,
    /// Seconds since the last durable ack; absent before the first.
    pub last_ack_s: Option<u64>,
    /// How often another aggregator took over since it started.
    #[serde(default)]
    pub switches: u64,
    /// The last time; absent before the first.
    #[serde(default)]
    pub last_switch: Option<LastSwitch>,
    /// Why the last attempt failed; empty when none did since the last success.
    pub uplink_error: String,
    /// The lanes.
    pub lanes: Vec<LaneStatus>,
    /// Checks per verdict.
    pub checks: CheckCounts,
    /// Log lines taken since the start.
    pub log_lines: u64,
    /// Log files watched.
    pub log_files: u64,
    /// Log sources that cannot be read, with the reason.
    pub log_problems: Vec<String>,
}

/// The last time another aggregator took over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSwitch {
    /// Aggregator that acked before.
    pub from: String,
    /// Aggregator that acks since.
    pub to: String,
    /// Seconds since its first ack.
    pub ago_s: u64,
    /// From the last durable ack of the one to the first of the other, in milliseconds. It holds the time
    /// in which there was nothing to ack.
    pub silent_ms: u64,
}

/// One lane in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Its name.
    pub lane: String,
    /// Its stream.
    pub stream: String,
    /// Frames not yet acked.
    pub frames: u64,
    /// Bytes kept on disk.
    pub bytes: u64,
    /// Bytes it may keep.
    pub budget_bytes: u64,
    /// Records dropped since the start.
    pub dropped: u64,
    /// Why the disk refuses, as long as it does.
    pub refused: Option<String>,
}

/// How many checks say what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCounts {
    /// ok
    pub ok: u64,
    /// warn
    pub warn: u64,
    /// crit
    pub crit: u64,
    /// unknown
    pub unknown: u64,
}

/// One line, as `systemctl status` shows it.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = if self.aggregator.is_empty() { "no aggregator" } else { &self.aggregator };
        let CheckCounts { ok, warn, crit, unknown } = self.checks;
        write!(
            f,
            "{}: {to}; checks {ok} ok, {warn} warn, {crit} crit, {unknown} unknown",
            self.uplink
        )?;
        let waiting: u64 = self.lanes.iter().map(|lane| lane.frames).sum();
        write!(f, "; {waiting} frames wait")?;
        for lane in self.lanes.iter().filter(|lane| lane.refused.is_some()) {
            write!(f, "; lane {} cannot write", lane.lane)?;
        }
        Ok(())
    }
}

/// Where the socket of an agent lies.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("agent.sock")
}

/// Answers every connection with what `look` sees.
pub async fn run(listener: UnixListener, look: impl Fn() -> Status) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Ok(document) = serde_json::to_vec(&look()) else { continue };
        // One reader at a time: there is one document, and it fits the socket's buffer.
        let _ = tokio::time::timeout(WRITE_PATIENCE, stream.write_all(&document)).await;
    }
}

/// Asks the agent that runs with this `run_dir`.
///
/// # Errors
/// No agent answers there, or what it says is not a status.
pub fn ask(run_dir: &Path) -> io::Result<Status> {
    use std::io::Read as _;
    let stream = std::os::unix::net::UnixStream::connect(socket_path(run_dir))?;
    stream.set_read_timeout(Some(WRITE_PATIENCE))?;
    let mut document = Vec::new();
    stream.take(STATUS_BYTES_MAX).read_to_end(&mut document)?;
    serde_json::from_slice(&document).map_err(io::Error::other)
}
