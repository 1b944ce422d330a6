//! Which system this is.

use super::{Collector, Given, Memo, Out};
use crate::facts::os;
use crate::host::HostError;

/// The collector.
pub struct Os;

impl Collector for Os {
    fn name(&self) -> &'static str {
        "os"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let os = os::read(given.host)?;
        let labels = [
            ("build_id", os.build_id.as_str()),
            ("id", &os.id),
            ("id_like", &os.id_like),
            ("image_id", &os.image_id),
            ("image_version", &os.image_version),
            ("name", &os.name),
            ("pretty_name", &os.pretty_name),
            ("variant", &os.variant),
            ("variant_id", &os.variant_id),
            ("version", &os.version),
            ("version_codename", &os.version_codename),
            ("version_id", &os.version_id),
        ];
        out.gauge("node_os_info", &labels, 1.0);
        if let Some(version) = parse_version(&os.version_id) {
            let labels = [("id", os.id.as_str()), ("id_like", &os.id_like), ("name", &os.name)];
            out.gauge("node_os_version", &labels, version);
        }
        if let Some(end_s) = parse_day(&os.support_end) {
            out.gauge("node_os_support_end_timestamp_seconds", &[], end_s);
        }
        Ok(())
    }
}

/// `12` and `24.04`; of `2023.1.2` the first two numbers. A rolling release has none.
fn parse_version(text: &str) -> Option<f64> {
    let mut dots = 0;
    let is_part = |letter: char| {
        dots += usize::from(letter == '.');
        letter.is_ascii_digit() || (letter == '.' && dots < 2)
    };
    let end = text.len() - text.trim_start_matches(is_part).len();
    text[..end].parse().ok()
}

/// `2028-06-30` as seconds since 1970.
fn parse_day(text: &str) -> Option<f64> {
    let day: jiff::civil::Date = text.parse().ok()?;
    let moment = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(moment.timestamp().as_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_days() {
        assert_eq!(parse_version("12"), Some(12.0));
        assert_eq!(parse_version("24.04"), Some(24.04));
        assert_eq!(parse_version("2023.1.2"), Some(2023.1));
        assert_eq!(parse_version("rolling"), None);
        assert_eq!(parse_version(""), None);
        assert_eq!(parse_day("1970-01-03"), Some(172_800.0));
        assert_eq!(parse_day(""), None);
    }
}
