//! What is in the Debian packages: files where Debian wants them, few dependencies, nothing that lintian calls an
//! error, AppArmor profiles that parse. How they behave on machines stands in `fleet/packages.rs`.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::path::{Path, PathBuf};
use std::process::Command;

use muster_tests::packages::{NAMES, file_of, packed};
use muster_tests::rig::tell;

/// Runs a program of Debian; gives its code and everything it said.
fn run(words: &[&str]) -> (i32, String) {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

fn package(name: &str) -> PathBuf {
    file_of(&packed(""), name)
}

/// The files of a package, with mode and owner: `-rw-r--r-- root/root ./etc/…`.
fn files(package: &Path) -> Vec<(String, String)> {
    let (code, listed) = run(&["dpkg-deb", "-c", package.to_str().unwrap()]);
    assert_eq!(code, 0, "{listed}");
    let file = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let path = words.iter().find(|word| word.starts_with("./"))?;
        Some((path.to_string(), format!("{} {}", words[0], words[1])))
    };
    listed.lines().filter_map(file).filter(|(path, _)| !path.ends_with('/')).collect()
}

#[test]
fn every_package_has_its_program_and_what_belongs_to_it() {
    for name in NAMES {
        let files = files(&package(name));
        let daemon = name.strip_prefix("muster-");
        let mut wanted = vec![
            format!("./usr/bin/{name}"),
            format!("./usr/share/man/man1/{name}.1.gz"),
            format!("./usr/share/bash-completion/completions/{name}.bash"),
            format!("./usr/share/zsh/vendor-completions/_{name}"),
            format!("./usr/share/fish/vendor_completions.d/{name}.fish"),
            format!("./usr/share/doc/{name}/copyright"),
            format!("./usr/share/doc/{name}/third-party.gz"),
        ];
        if let Some(daemon) = daemon {
            wanted.extend([
                format!("./lib/systemd/system/{name}.service"),
                format!("./lib/systemd/system/{name}.path"),
                format!("./usr/lib/sysusers.d/{name}.conf"),
                format!("./usr/lib/tmpfiles.d/{name}.conf"),
                format!("./etc/muster/{daemon}.toml"),
                format!("./etc/apparmor.d/{name}"),
            ]);
        }
        for path in &wanted {
            assert!(
                files.iter().any(|(found, _)| found == path),
                "{name} has no {path}: {files:#?}"
            );
        }
        for (path, how) in &files {
            let expected = if path.starts_with("./usr/bin/") { "-rwxr-xr-x" } else { "-rw-r--r--" };
            assert_eq!(*how, format!("{expected} root/root"), "{path}");
        }
    }
}

#[test]
fn configuration_is_kept_by_dpkg_and_dependencies_are_few() {
    let field = |name: &str, field: &str| {
        let (code, said) = run(&["dpkg-deb", "-f", package(name).to_str().unwrap(), field]);
        assert_eq!(code, 0, "{said}");
        said.trim().to_owned()
    };
    for name in NAMES {
        let depends = field(name, "Depends");
        let needed: Vec<&str> =
            depends.split(", ").map(|one| one.split(' ').next().unwrap_or_default()).collect();
        let allowed = ["libc6", "libgcc-s1", "systemd"];
        assert!(needed.iter().all(|one| allowed.contains(one)), "{name}: {depends}");
        // Debian 12 has 2.36.
        assert!(!depends.contains("libc6 (>= 2.37"), "{name}: {depends}");
    }
    for daemon in ["agent", "aggregator"] {
        let path = package(&format!("muster-{daemon}"));
        let (code, kept) = run(&["dpkg-deb", "-I", path.to_str().unwrap(), "conffiles"]);
        assert_eq!(code, 0, "{kept}");
        for file in
            [format!("/etc/muster/{daemon}.toml"), format!("/etc/apparmor.d/muster-{daemon}")]
        {
            assert!(kept.lines().any(|line| line == file), "{file} is no conffile: {kept}");
        }
    }
}

#[test]
fn lintian_finds_no_error() {
    for name in NAMES {
        let path = package(name);
        let (code, said) =
            run(&["lintian", "--allow-root", "--fail-on", "error", path.to_str().unwrap()]);
        assert_eq!(code, 0, "{said}");
        tell(&format!("lintian {name}: {}", said.trim()));
    }
}

/// Loading them needs a kernel with AppArmor; parsing does not.
#[test]
fn apparmor_understands_the_profiles() {
    for name in ["muster-agent", "muster-aggregator"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/apparmor").join(name);
        let words =
            ["apparmor_parser", "--skip-kernel-load", "--skip-cache", path.to_str().unwrap()];
        let (code, said) = run(&words);
        assert_eq!(code, 0, "{name}: {said}");
    }
}
