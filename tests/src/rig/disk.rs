//! A small disk that a test fills up and frees again.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Written at once while there is much room, and in the end. Bytes.
const STRIDES_BYTES: [usize; 2] = [1024 * 1024, 4096];

/// A file system of its own, mounted over a folder. Gone when dropped.
pub struct SmallDisk {
    folder: PathBuf,
    fillers: u32,
}

impl SmallDisk {
    /// Mounts one over `folder`, which keeps its content. `None`, and a line that says so, without the
    /// right to mount.
    ///
    /// # Panics
    /// When root cannot do it either.
    pub fn over(folder: &Path, mebibytes: u32) -> Option<SmallDisk> {
        if !nix::unistd::geteuid().is_root() {
            super::skipped("test of a full disk", "only root may mount a small disk");
            return None;
        }
        std::fs::create_dir_all(folder).expect("a folder");
        let aside = folder.with_extension("aside");
        std::fs::rename(folder, &aside).expect("the content steps aside");
        std::fs::create_dir(folder).expect("a folder to mount on");
        let size = format!("size={mebibytes}m,mode=700");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "muster-rig"]).arg(folder));
        let disk = SmallDisk { folder: folder.to_owned(), fillers: 0 };
        run(Command::new("cp").arg("-a").arg(aside.join(".")).arg(folder));
        Some(disk)
    }

    /// Fills it to the last block.
    ///
    /// # Panics
    /// When the filler cannot even be made.
    pub fn fill(&mut self) {
        self.fillers += 1;
        let mut filler = File::create(self.filler(self.fillers)).expect("a filler");
        for stride in STRIDES_BYTES {
            let zeroes = vec![0; stride];
            while filler.write(&zeroes).is_ok_and(|written| written == stride) {}
        }
    }

    /// Gives all room back.
    ///
    /// # Panics
    /// When a filler cannot be removed.
    pub fn free(&mut self) {
        for filler in 1..=self.fillers {
            std::fs::remove_file(self.filler(filler)).expect("the filler goes");
        }
        self.fillers = 0;
    }

    fn filler(&self, number: u32) -> PathBuf {
        self.folder.join(format!("filler.{number}"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: processes of the rig may still have files on it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {err}");
}
