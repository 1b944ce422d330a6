//! The one thread of the room: asks the clock, waits, steps.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use muster_proto::clock::{Mono, Utc};
use muster_proto::frame::SealError;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::checkpoint::Checkpoints;
use super::limits::STOP_WAIT;
use super::reader::{LogReader, Outlet, Wait};
use super::settings::{LogSettings, SettingsError};
use super::stats::LogStats;

/// Why the room cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong.
    #[error("log settings are wrong")]
    Settings(#[source] SettingsError),
    /// No memory for the compressor.
    #[error("cannot make a log sealer")]
    Sealer(#[source] SealError),
    /// No pipe or no thread.
    #[error("cannot start the log thread")]
    Thread(#[source] std::io::Error),
}

/// Starts the room's thread.
#[derive(Debug)]
pub struct LogThread;

/// The running thread.
#[derive(Debug)]
pub struct LogHandle {
    stats: Arc<LogStats>,
    stop: Arc<AtomicBool>,
    bell: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl LogThread {
    /// Reads the sources into `tx` until `stop` is true, the handle is stopped, or `tx` is closed.
    ///
    /// # Errors
    /// [`StartError`]. Paths that cannot be read are not errors: see [`LogStats::unreadable`].
    pub fn start(
        settings: &LogSettings,
        checkpoints: Checkpoints,
        tx: Box<dyn Outlet>,
        stop: Arc<AtomicBool>,
    ) -> Result<LogHandle, StartError> {
        let (bell, ear) = UnixStream::pair().map_err(StartError::Thread)?;
        bell.set_nonblocking(true).map_err(StartError::Thread)?;
        ear.set_nonblocking(true).map_err(StartError::Thread)?;
        let ringer = bell.try_clone().map_err(StartError::Thread)?;
        let reader = LogReader::new(settings, checkpoints, tx, move || ring(&ringer))?;
        let stats = reader.stats();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || run(reader, &ear, &stopped))
            .map_err(StartError::Thread)?;
        Ok(LogHandle { stats, stop, bell, thread: Some(thread) })
    }
}

impl LogHandle {
    /// What the thread counts.
    pub fn stats(&self) -> &Arc<LogStats> {
        &self.stats
    }

    /// True when the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks the thread to stop and waits for it: it hands over its last block if there is room, and
    /// leaves the journal's child dead.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, SeqCst);
        ring(&self.bell);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("The log thread panicked.");
        }
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        self.end();
    }
}

/// One byte is enough: a full pipe means that somebody rang already.
fn ring(mut bell: &UnixStream) {
    let _ = bell.write(&[1]);
}

fn run(mut reader: LogReader, ear: &UnixStream, stop: &AtomicBool) {
    let started = Instant::now();
    while !stop.load(SeqCst) {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match reader.step(Mono::default().after(started.elapsed()), Utc(0).after(wall)) {
            Wait::No => {}
            Wait::Closed => return,
            Wait::Full(span) => sleep(span),
            Wait::For(span) => {
                sleep(span.min(LogReader::PACE));
                if let Some(rest) = span.checked_sub(LogReader::PACE) {
                    listen(&reader, ear, rest);
                }
                hush(ear);
            }
        }
    }
    let deadline = Instant::now() + STOP_WAIT;
    while !reader.flush() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the bell, the journal or the end of `span`.
fn listen(reader: &LogReader, ear: &UnixStream, span: Duration) {
    let mut fds = vec![PollFd::new(ear.as_fd(), PollFlags::POLLIN)];
    fds.extend(reader.pipe().map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)));
    // A signal ends the wait early, which does no harm.
    let _ = poll(&mut fds, timeout(span));
}

/// Waits without listening: what happens meanwhile is taken together.
fn sleep(span: Duration) {
    std::thread::sleep(span);
}

fn timeout(span: Duration) -> PollTimeout {
    let rounded = span + Duration::from_micros(999);
    PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
}

fn hush(mut ear: &UnixStream) {
    let mut rung = [0; 256];
    while matches!(ear.read(&mut rung), Ok(read) if read == rung.len()) {}
}
