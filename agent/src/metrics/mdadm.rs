//! Software RAID.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct Mdadm;

impl Collector for Mdadm {
    fn name(&self) -> &'static str {
        "mdadm"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        for array in parse_mdstat(&given.host.read("proc/mdstat")?)? {
            put(&array, out);
            let number = |file: &str| {
                given.host.read_number(&format!("sys/block/{}/md/{file}", array.device))
            };
            let labels = [("device", array.device.as_str())];
            if let Ok(disks) = number("raid_disks") {
                out.gauge("node_md_raid_disks", &labels, disks);
            }
            if let Ok(degraded) = number("degraded") {
                out.gauge("node_md_degraded", &labels, degraded);
            }
        }
        Ok(())
    }
}

/// One array of `/proc/mdstat`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Array {
    device: String,
    state: &'static str,
    active: u64,
    failed: u64,
    spare: u64,
    required: u64,
    blocks: u64,
    blocks_synced: u64,
}

const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

fn put(array: &Array, out: &mut Out<'_>) {
    let device = array.device.as_str();
    for (state, count) in
        [("active", array.active), ("failed", array.failed), ("spare", array.spare)]
    {
        out.gauge("node_md_disks", &[("device", device), ("state", state)], count as f64);
    }
    for state in STATES {
        let labels = [("device", device), ("state", state)];
        out.gauge("node_md_state", &labels, f64::from(array.state == state));
    }
    let labels = [("device", device)];
    out.gauge("node_md_disks_required", &labels, array.required as f64);
    out.gauge("node_md_blocks", &labels, array.blocks as f64);
    out.gauge("node_md_blocks_synced", &labels, array.blocks_synced as f64);
}

/// Reads one array for each line `md0 : active raid1 sda1[0] sdb1[1](F)` and the indented lines
/// below it: size and `[required/active]`, then how far a recovery, resync or check has got.
fn parse_mdstat(text: &str) -> Result<Vec<Array>, HostError> {
    let mut arrays: Vec<Array> = Vec::new();
    for line in text.lines() {
        let is_head = line.starts_with("md") && line.contains(" : ");
        if is_head {
            let wrong = || HostError::malformed("mdstat", line);
            arrays.push(parse_head(line).ok_or_else(wrong)?);
        } else if let Some(array) = arrays.last_mut()
            && line.starts_with(' ')
        {
            parse_below(line, array);
        }
    }
    Ok(arrays)
}

fn parse_head(line: &str) -> Option<Array> {
    let (device, rest) = line.split_once(" : ")?;
    let mut array = Array { device: device.trim().to_owned(), ..Array::default() };
    let mut words = rest.split_ascii_whitespace();
    array.state = match words.next()? {
        "inactive" => "inactive",
        _ => "active",
    };
    for disk in words.filter(|word| word.contains('[')) {
        if disk.ends_with("(F)") {
            array.failed += 1;
        } else if disk.ends_with("(S)") {
            array.spare += 1;
        } else {
            array.active += 1;
        }
    }
    // What has no redundancy says nothing of required disks: it needs all it has.
    array.required = array.active;
    Some(array)
}

fn parse_below(line: &str, array: &mut Array) {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    if let [size, "blocks", ..] = words.as_slice() {
        array.blocks = size.parse().unwrap_or(0);
        array.blocks_synced = array.blocks;
        let pair = words.iter().find_map(|word| {
            let (required, active) = word.strip_prefix('[')?.strip_suffix(']')?.split_once('/')?;
            Some((required.parse().ok()?, active.parse().ok()?))
        });
        if let Some((required, active)) = pair {
            (array.required, array.active) = (required, active);
        }
    }
    for (word, state) in [("recovery", "recovering"), ("resync", "resync"), ("check", "check")] {
        if words.contains(&word) {
            array.state = state;
            let synced = words.iter().find_map(|word| word.strip_prefix('(')?.split_once('/'));
            array.blocks_synced = synced.and_then(|(done, _)| done.parse().ok()).unwrap_or(0);
        } else if line.contains(&format!("{word}=DELAYED"))
            || line.contains(&format!("{word}=PENDING"))
        {
            array.state = state;
            array.blocks_synced = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// State, active, failed, spare, required, blocks, synced.
    #[track_caller]
    fn check(text: &str, expected: (&str, [u64; 6])) {
        let arrays = parse_mdstat(text).unwrap();
        let [array] = arrays.as_slice() else { panic!("one array: {arrays:?}") };
        let numbers = [
            array.active,
            array.failed,
            array.spare,
            array.required,
            array.blocks,
            array.blocks_synced,
        ];
        assert_eq!((array.state, numbers), expected);
    }

    #[test]
    fn arrays_of_every_kind() {
        check(
            "Personalities : [raid1]\nmd0 : active raid1 sda1[0] sdb1[1](F) sdc1[2](S)\n      \
             1000 blocks super 1.2 [2/1] [U_]\n      bitmap: 0/1 pages\n\nunused devices: <none>\n",
            ("active", [1, 1, 1, 2, 1000, 1000]),
        );
        check(
            "md1 : active raid6 a[0] b[1]\n  2000 blocks level 6 [3/2] [UU_]\n  \
             [=>..]  recovery =  8.5% (170/2000) finish=259.8min speed=1K/sec\n",
            ("recovering", [2, 0, 0, 3, 2000, 170]),
        );
        check(
            "md2 : active raid0 a[0] b[1]\n  300 blocks 256k chunks\n",
            ("active", [2, 0, 0, 2, 300, 300]),
        );
        check("md3 : inactive a[0](S)\n  7 blocks super 1.2\n", ("inactive", [0, 0, 1, 0, 7, 7]));
        check(
            "md4 : active raid1 a[0] b[1]\n  9 blocks [2/2] [UU]\n  resync=DELAYED\n",
            ("resync", [2, 0, 0, 2, 9, 0]),
        );
    }
}
