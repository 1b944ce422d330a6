//! One fleet at a time: two cores cannot carry two.
//!
//! Room: `tests/fleet`.  May use: `base`.  Used by: `fleet`.

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::Flock;

use super::base;

static OURS: Mutex<()> = Mutex::new(());

/// Held while a fleet lives: against other tests of this process, and against other processes.
pub(super) struct Turn {
    _machine: Flock<File>,
    _process: MutexGuard<'static, ()>,
}

impl Turn {
    /// Waits for it. The lock of the machine ends with the process, however that ends.
    pub(super) fn take() -> Turn {
        let process = OURS.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = base::cache_dir();
        std::fs::create_dir_all(&folder).expect("room for what outlives a test run");
        Turn { _machine: base::locked(&folder.join("turn.lock")), _process: process }
    }
}
