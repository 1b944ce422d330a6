//! Days and their files: `YYYYMMDD.db`, one for each UTC day, deleted whole.
//!
//! Room: `stores`.  May use: `proto`.  Used by: the log and metric stores, retention.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use muster_proto::clock::Utc;

/// Microseconds of one day.
const DAY_US: i64 = 86_400_000_000;

/// A UTC day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// The day of a moment.
    pub fn of(at: Utc) -> Day {
        Day(at.0.div_euclid(DAY_US))
    }

    /// Its first microsecond.
    pub fn start(self) -> Utc {
        Utc(self.0.saturating_mul(DAY_US))
    }

    /// Its last microsecond.
    pub fn end(self) -> Utc {
        Utc(self.start().0.saturating_add(DAY_US - 1))
    }

    /// Reads `YYYYMMDD`; `None` when it is not a day.
    pub fn parse(name: &str) -> Option<Day> {
        if name.len() != 8 || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let day =
            Day::civil(name[..4].parse().ok()?, name[4..6].parse().ok()?, name[6..].parse().ok()?);
        (day.to_string() == name).then_some(day)
    }

    /// The day of a proleptic Gregorian date.
    ///
    /// # Source
    /// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
    fn civil(year: i64, month: i64, day: i64) -> Day {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        Day(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
    }
}

impl fmt::Display for Day {
    /// `YYYYMMDD`, the name of the day's files (`civil_from_days` of the same source).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}{month:02}{day:02}")
    }
}

/// One day file on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayFile {
    /// Its day.
    pub day: Day,
    /// Where it stands.
    pub path: PathBuf,
    /// Its size with its write-ahead log.
    pub bytes: u64,
}

/// Where the file of a day stands in `folder`.
pub fn day_path(folder: &Path, day: Day) -> PathBuf {
    folder.join(format!("{day}.db"))
}

/// The day files of a folder, oldest first. A folder that is not there has none.
///
/// # Errors
/// What the kernel says about the folder. Other files in it are not errors.
pub fn list_days(folder: &Path) -> io::Result<Vec<DayFile>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut days = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(day) = name.strip_suffix(".db").and_then(Day::parse) {
            let bytes = size(&path) + size(&beside(&path, "-wal"));
            days.push(DayFile { day, path, bytes });
        }
    }
    days.sort_by_key(|file| file.day);
    Ok(days)
}

/// Deletes a day file with its `-wal` and `-shm`.
///
/// # Errors
/// What the kernel says. A file that is not there is not an error.
pub fn remove_day(path: &Path) -> io::Result<()> {
    for file in [path.to_path_buf(), beside(path, "-wal"), beside(path, "-shm")] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Moves a damaged day file and its write-ahead log to `….damaged`, `….damaged.1` and so on.
///
/// # Errors
/// What the kernel says.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut target = beside(path, ".damaged");
    let mut number = 0;
    while target.exists() {
        number += 1;
        target = beside(path, &format!(".damaged.{number}"));
    }
    fs::rename(path, &target)?;
    for suffix in ["-wal", "-shm"] {
        match fs::rename(beside(path, suffix), beside(&target, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(target)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_names_of_the_calendar() {
        for (seconds, name) in [
            (0, "19700101"),
            (951_782_399, "20000228"),
            (951_782_400, "20000229"),
            (951_868_800, "20000301"),
            (-1, "19691231"),
            (1_795_219_200, "20261121"),
        ] {
            assert_eq!(Day::of(Utc(seconds * 1_000_000)).to_string(), name);
        }
        for day in (-200_000..200_000).step_by(17) {
            assert_eq!(Day::parse(&Day(day).to_string()), Some(Day(day)), "{day}");
        }
        for wrong in ["2026112", "20261131", "20261301", "x0261121", "20260229", "202611211"] {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_day_files_are_listed_and_the_write_ahead_log_goes_along() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["20261121.db", "20261120.db", "20261120.db-wal", "store.db", "x.damaged"] {
            fs::write(folder.path().join(name), b"12345").unwrap();
        }
        let days = list_days(folder.path()).unwrap();
        let seen: Vec<_> = days.iter().map(|file| (file.day.to_string(), file.bytes)).collect();
        assert_eq!(seen, [("20261120".to_string(), 10), ("20261121".to_string(), 5)]);
        set_aside(&days[0].path).unwrap();
        assert!(folder.path().join("20261120.db.damaged-wal").exists());
        remove_day(&days[1].path).unwrap();
        assert_eq!(list_days(folder.path()).unwrap(), []);
        assert_eq!(list_days(&folder.path().join("absent")).unwrap(), []);
    }
}
