//! Whether something installed waits for a reboot.

use std::cmp::Ordering;
use std::time::UNIX_EPOCH;

use muster_proto::clock::Utc;

use crate::host::{Host, HostError};

/// What waits for a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reboot {
    /// `/run/reboot-required` stands there, since then.
    pub flagged_at: Option<Utc>,
    /// `/run/reboot-required.pkgs`, sorted, each once.
    pub packages: Vec<String>,
    /// A newer kernel than the running one is installed: its release, and since when.
    pub kernel: Option<(String, Utc)>,
}

/// Reads the flag of update-notifier and unattended-upgrades, and compares the kernels in `/boot`.
///
/// # Errors
/// [`HostError::Missing`] when this is no Debian: nobody would leave a flag.
pub fn read(host: &Host) -> Result<Reboot, HostError> {
    if !host.exists("var/lib/dpkg/status") {
        return Err(HostError::Missing { path: "var/lib/dpkg/status".to_owned() });
    }
    let flagged_at = modified_at(host, "run/reboot-required");
    let mut packages: Vec<String> = match host.read("run/reboot-required.pkgs") {
        Ok(text) => text.lines().map(|line| line.trim().to_owned()).collect(),
        Err(_) => Vec::new(),
    };
    packages.retain(|name| !name.is_empty());
    packages.sort_unstable();
    packages.dedup();
    Ok(Reboot { flagged_at, packages, kernel: newer_kernel(host) })
}

/// Only where the running kernel itself came from a package: elsewhere `/boot` means nothing.
fn newer_kernel(host: &Host) -> Option<(String, Utc)> {
    let running = host.read_line("proc/sys/kernel/osrelease").ok()?;
    let names = host.list("boot").ok()?;
    let releases: Vec<&str> =
        names.iter().filter_map(|name| name.strip_prefix("vmlinuz-")).collect();
    let flavour = |release: &str| release.rsplit('-').next().unwrap_or_default().to_owned();
    if !releases.contains(&running.as_str()) {
        return None;
    }
    let same_flavour = releases.into_iter().filter(|release| flavour(release) == flavour(&running));
    let newest = same_flavour.max_by(|a, b| compare(a, b))?;
    if compare(newest, &running) != Ordering::Greater {
        return None;
    }
    let at = modified_at(host, &format!("boot/vmlinuz-{newest}")).unwrap_or_default();
    Some((newest.to_owned(), at))
}

fn modified_at(host: &Host, rel: &str) -> Option<Utc> {
    let modified = std::fs::metadata(host.path(rel)).ok()?.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Utc(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
}

/// Compares releases run by run: digits as numbers, the rest as text.
fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (run_a, rest_a) = first_run(a);
        let (run_b, rest_b) = first_run(b);
        let order = match (run_a.parse::<u64>(), run_b.parse::<u64>()) {
            (Ok(number_a), Ok(number_b)) => number_a.cmp(&number_b),
            _ => run_a.cmp(run_b),
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    a.len().cmp(&b.len())
}

fn first_run(text: &str) -> (&str, &str) {
    let is_digit = |c: char| c.is_ascii_digit();
    let first = text.chars().next().is_some_and(is_digit);
    text.split_at(text.find(|c: char| is_digit(c) != first).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_as_numbers() {
        assert_eq!(compare("6.1.0-9-amd64", "6.1.0-10-amd64"), Ordering::Less);
        assert_eq!(compare("6.10.1", "6.9.12"), Ordering::Greater);
        assert_eq!(compare("6.1.0-38-amd64", "6.1.0-38-amd64"), Ordering::Equal);
        assert_eq!(compare("6.1", "6.1.1"), Ordering::Less);
    }

    #[test]
    fn a_newer_kernel_of_the_same_flavour_waits() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(path), text).unwrap();
        };
        let host = Host::at(dir.path());
        assert!(read(&host).unwrap_err().is_missing());
        write("var/lib/dpkg/status", "");
        write("proc/sys/kernel/osrelease", "6.1.0-9-amd64\n");
        write("boot/vmlinuz-6.1.0-10-amd64", "");
        assert_eq!(read(&host).unwrap(), Reboot::default(), "a kernel from elsewhere runs");
        write("boot/vmlinuz-6.1.0-9-amd64", "");
        write("boot/vmlinuz-6.1.0-99-rt-amd64x", "");
        assert_eq!(read(&host).unwrap().kernel.unwrap().0, "6.1.0-10-amd64");
        write("run/reboot-required", "");
        write("run/reboot-required.pkgs", "linux-image-amd64\ndbus\ndbus\n");
        let reboot = read(&host).unwrap();
        assert_eq!(reboot.packages, ["dbus", "linux-image-amd64"]);
        assert!(reboot.flagged_at.is_some());
    }
}
