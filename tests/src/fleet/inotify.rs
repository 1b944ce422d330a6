//! Room for the inotify instances of many hosts: root of every host is root of this machine, and its systemd,
//! journald and path units have some each.
//!
//! Room: `tests/fleet`.  May use: nothing of ours.  Used by: `stage`.

use std::path::Path;

/// Instances that one user may have (inotify(7)). Not part of any namespace of the stage.
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
/// Enough for fifty hosts. Debian gives 128, which are used up by ten.
const WANTED: u64 = 8192;

/// Raises the limit while it lives.
pub(super) struct Raised {
    before: Option<u64>,
}

impl Raised {
    pub(super) fn new() -> Raised {
        let before = std::fs::read_to_string(LIMIT).ok().and_then(|text| text.trim().parse().ok());
        let before = before.filter(|limit| *limit < WANTED);
        if before.is_some() {
            write(WANTED);
        }
        Raised { before }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            write(before);
        }
    }
}

/// What is refused shows as hosts that do not come up, with systemd's own words.
fn write(limit: u64) {
    let _ = std::fs::write(Path::new(LIMIT), limit.to_string());
}
