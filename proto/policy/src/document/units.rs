//! Spans of time and amounts of data as people write them.

use std::time::Duration;

/// Spans a person may write: `"200ms"`, `"15s"`, `"5m"`, `"12h"`, `"90d"`, `"2w"`; one number, one unit.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text).ok_or_else(|| wrong_span(text))?;
    let millis_per_unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return Err(wrong_span(text)),
    };
    number
        .checked_mul(millis_per_unit)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("\"{text}\" is too long"))
}

/// Amounts a person may write, in bytes: `"4096B"`, `"16KiB"`, `"512MiB"`, `"2GB"`, `"1TiB"`.
///
/// `KB`, `MB`, `GB`, `TB` are powers of 1000, `KiB`, `MiB`, `GiB`, `TiB` of 1024 (IEC 80000-13).
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text).ok_or_else(|| wrong_bytes(text))?;
    let bytes_per_unit: u64 = match unit {
        "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong_bytes(text)),
    };
    number.checked_mul(bytes_per_unit).ok_or_else(|| format!("\"{text}\" is too much"))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim_start()))
}

fn wrong_span(text: &str) -> String {
    format!("\"{text}\" is not a span of time such as \"15s\", \"5m\", \"12h\" or \"90d\"")
}

fn wrong_bytes(text: &str) -> String {
    format!("\"{text}\" is not an amount of data such as \"512MiB\" or \"2GB\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(parse_span("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse_span("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for wrong in [
            "",
            "15",
            "s",
            "-1s",
            "1.5h",
            "15 parsecs",
            "99999999999999999999s",
            "999999999999999999w",
        ] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts() {
        assert_eq!(parse_bytes("16KiB"), Ok(16_384));
        assert_eq!(parse_bytes("2GB"), Ok(2_000_000_000));
        for wrong in ["", "1", "1 potato", "99999999999TiB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
