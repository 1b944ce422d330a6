//! Asking filesystems for their room, when some of them may never answer.
//!
//! statfs(2) on a dead NFS server sleeps in the kernel and cannot be interrupted. So the questions
//! are asked by expendable threads: one takes them in turn; when it has been silent for
//! [`STUCK_AFTER`], the next one takes the rest, and the first is left where it sleeps.
//!
//! Invariants
//! - At most one question in flight for each mountpoint: a hung mount costs one sleeping thread.
//! - At most [`THREADS_MAX`] threads sleep; beyond that mounts are reported as slow.
//! - The caller waits at most [`PATIENCE`], and only while a question is new.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_proto::clock::Mono;

use super::mounts::Mount;
use crate::host::{Host, HostError};

/// How long one call waits for filesystems that do not answer.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// After this long without an answer a mount counts as hung.
pub const HUNG_AFTER: Duration = Duration::from_secs(5);
/// After this long without any answer another thread takes the questions that still wait.
pub const STUCK_AFTER: Duration = Duration::from_millis(100);
/// Sleeping threads. Each costs a kernel stack and some pages of ours.
pub const THREADS_MAX: usize = 64;

/// The room of a filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Usage {
    /// It holds nobody's files, or the caller did not want to know.
    #[default]
    NotAsked,
    /// The answer.
    Known(Room),
    /// No answer yet, for less than [`HUNG_AFTER`].
    Slow,
    /// No answer for longer than that.
    Hung,
    /// The kernel refused.
    Failed(String),
}

/// What statfs(2) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// All bytes.
    pub size_bytes: u64,
    /// Bytes not used.
    pub free_bytes: u64,
    /// Bytes an ordinary user may still use.
    pub avail_bytes: u64,
    /// All inodes; 0 where there is no limit (btrfs).
    pub files: u64,
    /// Inodes not used.
    pub files_free: u64,
}

/// Questions in flight, shared by all clones of a [`Host`].
#[derive(Debug, Default)]
pub struct Prober {
    in_flight: Arc<Mutex<InFlight>>,
}

type InFlight = HashMap<String, Mono>;
type Answer = (usize, Usage);
type Ask = dyn Fn(&str) -> Usage + Send + Sync;

/// Fills in the usage of every mount that is no pseudo filesystem.
///
/// # Errors
/// Only of a recorded tree: `recorded/statfs` is malformed.
pub fn fill(host: &Host, mounts: &mut [Mount], now: Mono) -> Result<(), HostError> {
    if host.is_live() {
        host.prober.fill(mounts, now, Arc::new(ask_kernel));
        return Ok(());
    }
    let text = match host.read("recorded/statfs") {
        Err(error) if error.is_missing() => return Ok(()),
        other => other?,
    };
    let recorded = parse_recorded(&text)?;
    for mount in mounts.iter_mut().filter(|mount| !mount.is_pseudo()) {
        if let Some(usage) = recorded.get(mount.mountpoint.as_str()) {
            mount.usage = usage.clone();
        }
    }
    Ok(())
}

/// Reads lines `MOUNTPOINT size free avail files files_free`, or `MOUNTPOINT hung`, of a recorded tree.
///
/// # Errors
/// [`HostError::Malformed`].
pub fn parse_recorded(text: &str) -> Result<HashMap<&str, Usage>, HostError> {
    let mut usages = HashMap::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(mountpoint) = words.next() else { continue };
        let rest: Vec<&str> = words.collect();
        let numbers: Vec<u64> = rest.iter().filter_map(|word| word.parse().ok()).collect();
        let usage = match (rest.as_slice(), numbers.as_slice()) {
            (["hung"], _) => Usage::Hung,
            (["slow"], _) => Usage::Slow,
            (_, &[size_bytes, free_bytes, avail_bytes, files, files_free]) => {
                Usage::Known(Room { size_bytes, free_bytes, avail_bytes, files, files_free })
            }
            _ => return Err(HostError::malformed("recorded statfs", line)),
        };
        usages.insert(mountpoint, usage);
    }
    Ok(usages)
}

impl Prober {
    fn fill(&self, mounts: &mut [Mount], now: Mono, ask: Arc<Ask>) {
        let mut questions = VecDeque::new();
        {
            let in_flight = lock(&self.in_flight);
            for (at, mount) in mounts.iter_mut().enumerate().filter(|(_, m)| !m.is_pseudo()) {
                match in_flight.get(&mount.mountpoint) {
                    Some(since) if now.since(*since) >= HUNG_AFTER => mount.usage = Usage::Hung,
                    Some(_) => mount.usage = Usage::Slow,
                    None => {
                        mount.usage = Usage::Slow;
                        questions.push_back((at, mount.mountpoint.clone()));
                    }
                }
            }
        }
        let open = questions.len();
        let round = Arc::new(Round {
            questions: Mutex::new(questions),
            in_flight: Arc::clone(&self.in_flight),
            ask,
            now,
        });
        round.gather(open, mounts);
        // What nobody came to ask is asked in the next round, not by a sleeper of this one.
        lock(&round.questions).clear();
    }
}

/// One round of questions.
struct Round {
    questions: Mutex<VecDeque<(usize, String)>>,
    in_flight: Arc<Mutex<InFlight>>,
    ask: Arc<Ask>,
    now: Mono,
}

impl Round {
    /// Has the questions asked and collects answers until all are there or patience ends.
    fn gather(self: &Arc<Round>, mut open: usize, mounts: &mut [Mount]) {
        let deadline = Instant::now() + PATIENCE;
        let (answers_tx, answers) = mpsc::channel();
        if open > 0 {
            self.spawn(&answers_tx);
        }
        while open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match answers.recv_timeout(left.min(STUCK_AFTER)) {
                Ok((at, usage)) => {
                    mounts[at].usage = usage;
                    open -= 1;
                }
                Err(_) if left.is_zero() => return,
                Err(_) => {
                    if !lock(&self.questions).is_empty() {
                        self.spawn(&answers_tx);
                    }
                }
            }
        }
    }

    /// Starts an expendable thread. When there are too many already, the questions stay unasked.
    fn spawn(self: &Arc<Round>, answers: &Sender<Answer>) {
        if lock(&self.in_flight).len() >= THREADS_MAX {
            return;
        }
        let round = Arc::clone(self);
        let answers = answers.clone();
        let thread = std::thread::Builder::new().name("statfs".to_owned()).stack_size(64 * 1024);
        // Failing to start one leaves its mounts slow, which is what they are.
        let _detached = thread.spawn(move || round.work(&answers));
    }

    fn work(&self, answers: &Sender<Answer>) {
        loop {
            // The question leaves the queue and enters the flight list under one lock, so that
            // nobody asks it twice.
            let mut questions = lock(&self.questions);
            let Some((at, mountpoint)) = questions.pop_front() else { return };
            lock(&self.in_flight).insert(mountpoint.clone(), self.now);
            drop(questions);
            let usage = (self.ask)(&mountpoint);
            lock(&self.in_flight).remove(&mountpoint);
            if answers.send((at, usage)).is_err() {
                return;
            }
        }
    }
}

/// A thread that panicked while holding the lock has not left anything half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ask_kernel(mountpoint: &str) -> Usage {
    match nix::sys::statfs::statfs(mountpoint) {
        Ok(told) => {
            let block = u64::try_from(told.block_size()).unwrap_or(0);
            Usage::Known(Room {
                size_bytes: told.blocks().saturating_mul(block),
                free_bytes: told.blocks_free().saturating_mul(block),
                avail_bytes: told.blocks_available().saturating_mul(block),
                files: told.files(),
                files_free: told.files_free(),
            })
        }
        Err(errno) => Usage::Failed(errno.desc().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A kernel in which mounts named `/hung…` answer when the gate opens.
    #[derive(Default)]
    struct Kernel {
        gate: (Mutex<bool>, Condvar),
        asked: AtomicUsize,
    }

    impl Kernel {
        fn ask(&self, mountpoint: &str) -> Usage {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if mountpoint.starts_with("/hung") {
                let (is_open, opened) = &self.gate;
                let guard = opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open);
                drop(guard.unwrap());
            }
            Usage::Known(Room { size_bytes: mountpoint.len() as u64, ..Room::default() })
        }

        fn open_gate(&self) {
            *self.gate.0.lock().unwrap() = true;
            self.gate.1.notify_all();
        }
    }

    fn mounts() -> Vec<Mount> {
        let named = |mountpoint: &str| Mount {
            mountpoint: mountpoint.to_owned(),
            fstype: "ext4".to_owned(),
            ..Mount::default()
        };
        ["/a", "/hung1", "/bb", "/hung2", "/ccc"].map(named).to_vec()
    }

    /// `.` known, `s` slow, `h` hung.
    #[track_caller]
    fn check(prober: &Prober, kernel: &Arc<Kernel>, now_s: u64, expected: &str) {
        let mut mounts = mounts();
        let asked = Arc::clone(kernel);
        let ask = Arc::new(move |mountpoint: &str| asked.ask(mountpoint));
        prober.fill(&mut mounts, Mono(now_s * 1_000_000), ask);
        let letter = |mount: &Mount| match mount.usage {
            Usage::Known(room) if room.size_bytes == mount.mountpoint.len() as u64 => '.',
            Usage::Slow => 's',
            Usage::Hung => 'h',
            _ => '?',
        };
        assert_eq!(mounts.iter().map(letter).collect::<String>(), expected);
    }

    #[test]
    fn hung_mounts_delay_nobody_and_are_asked_once() {
        let (prober, kernel) = (Prober::default(), Arc::new(Kernel::default()));
        check(&prober, &kernel, 0, ".s.s.");
        assert_eq!(kernel.asked.load(Ordering::SeqCst), 5);
        // Still in flight: not asked again, and hung once the time is over.
        check(&prober, &kernel, 4, ".s.s.");
        check(&prober, &kernel, 5, ".h.h.");
        assert_eq!(kernel.asked.load(Ordering::SeqCst), 5 + 3 + 3);
        kernel.open_gate();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !lock(&prober.in_flight).is_empty() {
            assert!(Instant::now() < deadline, "the sleepers never woke");
            std::thread::yield_now();
        }
        check(&prober, &kernel, 20, ".....");
    }
}
