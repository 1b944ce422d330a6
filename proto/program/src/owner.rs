//! Root types a command, the daemon's user must be able to read what it leaves.
//!
//! `enroll`, `init`, `token create` and `spool repair` write into a directory that belongs to the daemon's
//! user. Run by root they become that user first: no file is left that the daemon cannot read, and nothing
//! that comes from the network is parsed as root.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

/// Becomes the owner of `dir` when we are root and it belongs to somebody else. For a program that has no
/// threads yet; there is no way back.
///
/// # Errors
/// The kernel refuses. A directory that is not there is not an error.
pub fn become_owner_of(dir: &Path) -> io::Result<()> {
    let Ok(found) = std::fs::metadata(dir) else { return Ok(()) };
    if !geteuid().is_root() || found.uid() == 0 {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    setgroups(&[gid])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    Ok(())
}
