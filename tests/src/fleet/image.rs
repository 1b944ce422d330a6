//! Images: a base tree on which apt has installed what a role needs. As on machines made from an image, no host
//! of that role installs it again.
//!
//! Room: `tests/fleet`.  May use: `base`, `host`, `repository`, `stage`.  Used by: `fleet`.
//!
//! An image is a layer over its base tree, made in a container that is not booted: dpkg and the packages' scripts
//! are real, only nothing is there to be started. How the packages behave on a host that runs is the story of
//! `tests/tests/fleet/packages.rs`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::base::{self, Release};
use super::host::Role;
use super::repository::{REPOSITORY, Repository, apt_script};
use super::stage::Stage;

/// The trees that hosts of a fleet stand on.
#[derive(Default)]
pub(super) struct Images {
    /// Of a kind of host: what overlayfs takes as `lowerdir`.
    made: HashMap<(Release, Role), String>,
}

impl Images {
    /// The layers under a host of this kind; makes them if they are not there yet.
    pub(super) fn of(
        &mut self,
        stage: &Stage,
        repository: &Repository,
        kind: (Release, Role),
    ) -> &str {
        self.made.entry(kind).or_insert_with(|| {
            let (release, role) = kind;
            let tree = base::tree(release);
            match role.packages() {
                [] => tree.display().to_string(),
                packages => {
                    repository.publish("");
                    let folder = stage.folder.join(format!("{}-{}", release.code(), role.unit()));
                    let layer = install(stage, &folder, &tree, &repository.folder, packages);
                    format!("{}:{}", layer.display(), tree.display())
                }
            }
        })
    }
}

/// Installs packages on an overlay over `tree`; gives the layer that they made.
fn install(
    stage: &Stage,
    folder: &Path,
    tree: &Path,
    repository: &Path,
    packages: &[&str],
) -> PathBuf {
    for part in ["upper", "work", "root"] {
        std::fs::create_dir_all(folder.join(part)).expect("a folder of the image");
    }
    let show = |part: &str| folder.join(part).display().to_string();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", tree.display(), show("upper"), show("work"));
    stage.run("mount", &["-t", "overlay", "-o", &options, "overlay", &show("root")], "");
    let directory = format!("--directory={}", show("root"));
    let bind = format!("--bind-ro={}:{REPOSITORY}", repository.display());
    let container = [
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--as-pid2",
        "--pipe",
        "--private-network",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--settings=no",
        &directory,
        &bind,
        "sh",
        "-eu",
    ];
    stage.run("systemd-nspawn", &container, &apt_script(packages));
    stage.run("umount", &[&show("root")], "");
    folder.join("upper")
}
