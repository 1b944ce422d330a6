//! Who must be alive: a thread says when it works and when it waits; one that works too long hangs.
//!
//! A thread that waits for its queue costs nothing here and needs no timer. One that sits in a system
//! call, a lock or an endless loop is found by the age of its last word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::notify::Notify;

/// How long one piece of work may take before its thread counts as hung. The kernel itself speaks of a
/// hung task after 120 s; a disk that is only slow answers before.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often a program that nobody watches says how it is.
const UNWATCHED_EVERY: Duration = Duration::from_secs(20);

/// Value of a beat that rests.
const RESTS: u64 = u64::MAX;

/// All threads that must be alive.
#[derive(Debug, Clone)]
pub struct Pulse {
    began: Instant,
    beats: Vec<Beat>,
}

/// One thread's part of the pulse.
#[derive(Debug, Clone)]
pub struct Beat {
    name: Arc<str>,
    began: Instant,
    /// Milliseconds after `began` at which the present piece of work began, or [`RESTS`].
    since: Arc<AtomicU64>,
}

/// A thread that hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hung {
    /// Its name.
    pub name: String,
    /// How long it has been at one piece of work.
    pub since: Duration,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { began: Instant::now(), beats: Vec::new() }
    }
}

/// A beat that nobody looks at.
impl Default for Beat {
    fn default() -> Beat {
        Pulse::default().beat("unwatched")
    }
}

impl Pulse {
    /// A thread more; it rests until it says something else.
    pub fn beat(&mut self, name: &str) -> Beat {
        let since = Arc::new(AtomicU64::new(RESTS));
        let beat = Beat { name: name.into(), began: self.began, since };
        self.beats.push(beat.clone());
        beat
    }

    /// The thread that has been at one piece of work the longest, when that is longer than [`PATIENCE`].
    pub fn hung(&self, now: Instant) -> Option<Hung> {
        let age = |beat: &Beat| {
            let since = beat.since.load(Ordering::Relaxed);
            let at = (since != RESTS).then(|| self.began + Duration::from_millis(since))?;
            Some(Hung { name: beat.name.to_string(), since: now.saturating_duration_since(at) })
        };
        let oldest = self.beats.iter().filter_map(age).max_by_key(|hung| hung.since)?;
        (oldest.since > PATIENCE).then_some(oldest)
    }

    /// Tells the manager how we are, as often as it wants to know: the watchdog while nothing hangs, and
    /// a line of status. Runs on the program's own runtime, so that a hung runtime says nothing.
    pub async fn tell(self, notify: Arc<Notify>, status: impl Fn() -> String) {
        if !notify.is_heard() {
            return;
        }
        let every = notify.watchdog().map_or(UNWATCHED_EVERY, |span| span / 3);
        loop {
            match self.hung(Instant::now()) {
                None => notify.alive(),
                Some(Hung { name, since }) => {
                    let seconds = since.as_secs();
                    tracing::error!(
                        thread = name,
                        seconds,
                        "A thread hangs: the watchdog is not fed."
                    );
                }
            }
            notify.status(&status());
            tokio::time::sleep(every).await;
        }
    }
}

impl Beat {
    /// A piece of work begins, or goes on: a retry is a new piece.
    pub fn works(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(RESTS - 1);
        self.since.store(since, Ordering::Relaxed);
    }

    /// Waits for work, or for somebody who may take as long as he likes.
    pub fn rests(&self) {
        self.since.store(RESTS, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_works_too_long_hangs() {
        let mut pulse = Pulse::default();
        let (lane, door) = (pulse.beat("lane-logs"), pulse.beat("door-0"));
        let later = Instant::now() + PATIENCE + Duration::from_secs(5);
        assert_eq!(pulse.hung(later), None, "both rest");
        lane.works();
        door.works();
        assert_eq!(pulse.hung(Instant::now() + PATIENCE / 2), None);
        door.rests();
        assert_eq!(pulse.hung(later).map(|hung| hung.name), Some("lane-logs".to_owned()));
        lane.rests();
        assert_eq!(pulse.hung(later), None);
    }

    /// What systemd sees of a hung thread: silence on the watchdog, nothing else.
    #[test]
    fn the_watchdog_is_fed_while_nothing_hangs_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let words = |pulse: Pulse| {
            let notify = Notify::to(path.as_os_str(), Some(Duration::from_secs(30))).unwrap();
            let told = pulse.tell(Arc::new(notify), || "fine".to_owned());
            let runtime = crate::runtime::single(1).unwrap();
            let once = Duration::from_millis(50);
            let _ = runtime.block_on(async { tokio::time::timeout(once, told).await });
            let mut heard = Vec::new();
            let mut bytes = [0; 64];
            while let Ok(length) = manager.recv(&mut bytes) {
                heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
            heard
        };
        let mut pulse = Pulse::default();
        let lane = pulse.beat("lane-logs");
        lane.works();
        assert_eq!(words(pulse.clone()), ["WATCHDOG=1", "STATUS=fine"]);
        let Some(long_ago) = Instant::now().checked_sub(PATIENCE * 2) else { return };
        let mut stuck = Pulse { began: long_ago, beats: Vec::new() };
        let lane = stuck.beat("lane-logs");
        lane.since.store(0, Ordering::Relaxed);
        assert_eq!(words(stuck), ["STATUS=fine"]);
    }
}
