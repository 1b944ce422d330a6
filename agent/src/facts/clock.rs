//! The two clocks, read once for a moment, and the zone the host lives in.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use muster_proto::clock::{Moment, Mono, Utc};

/// The moment facts were read at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// Wall time.
    pub utc: Utc,
    /// Monotonic time of this process.
    pub mono: Mono,
}

impl Clock {
    /// Asks both clocks; `start` is the moment monotonic time is counted from.
    pub fn read(start: Instant) -> Clock {
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock {
            utc: Utc(i64::try_from(utc.as_micros()).unwrap_or(i64::MAX)),
            mono: Mono(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

impl From<Clock> for Moment {
    fn from(clock: Clock) -> Moment {
        Moment { utc: clock.utc, mono: clock.mono }
    }
}

/// The host's time zone at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Abbreviation, e.g. `CEST`.
    pub name: String,
    /// Seconds east of Greenwich.
    pub offset_s: i32,
}

impl Zone {
    /// The zone of `/etc/localtime` or `TZ` at `now`.
    pub fn read(now: Utc) -> Zone {
        let moment = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default();
        let zone = jiff::tz::TimeZone::system();
        let told = zone.to_offset_info(moment);
        Zone { name: told.abbreviation().to_owned(), offset_s: told.offset().seconds() }
    }
}
