//! Two kinds of time, so that nobody subtracts one from the other.
//!
//! Both are told, never asked: the tasks around the pure parts read the clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Wall time: microseconds since 1970-01-01T00:00:00Z, without leap seconds (POSIX time).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Utc(pub i64);

/// Monotonic time: microseconds since an arbitrary start, never going back within one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Wall time.
    pub utc: Utc,
    /// Monotonic time of this process.
    pub mono: Mono,
}

impl Utc {
    /// Whole milliseconds since 1970, rounded towards the past.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since 1970, rounded towards the past.
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The moment `span` later; stays at the last representable moment instead of wrapping.
    #[must_use]
    pub fn after(self, span: Duration) -> Utc {
        Utc(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` earlier; stays at the first representable moment instead of wrapping.
    #[must_use]
    pub fn before(self, span: Duration) -> Utc {
        Utc(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Utc) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Mono {
    /// The moment `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
