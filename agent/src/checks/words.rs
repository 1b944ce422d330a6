//! Numbers as people read them in a message.

use crate::facts::pressure::Stall;

/// Bytes in binary units, three significant digits or so.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            let digits = usize::from(unit != "B" && value < 100.0);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} PiB")
}

/// Seconds in the two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Seconds and parts of them.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds.abs() {
        small if small < 0.001 => format!("{:.0} µs", seconds * 1e6),
        small if small < 1.0 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

/// `part` of `whole` in percent; 0 when there is no whole.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// How long `who` waited: `something` (PSI some) or `everything` (PSI full).
pub(super) fn waited(who: &str, stall: &Stall) -> String {
    format!("{who} waited {:.1}% of 5 min, {:.1}% of 1 min", stall.avg300, stall.avg60)
}

/// `1 process`, `2 processes`: the noun with its count.
pub(super) fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(200 << 20), "200 MiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
        assert_eq!(span(59), "59 s");
        assert_eq!(span(3700), "1 h 1 min");
        assert_eq!(span(90_000), "1 d 1 h");
        assert_eq!(percent(1, 0), 0.0);
        assert_eq!(count(1, "kill", "kills"), "1 kill");
    }
}
