//! Time and chance as arguments: the traits that the outside world implements.
//!
//! Must never read a clock or draw chance itself: a rule that does cannot be tested or replayed.

mod watch;

pub use watch::{ClockWatch, Reading, Standing};

use std::fmt;

/// A moment as whole milliseconds since 1970-01-01T00:00:00Z (the form of LDV and of every stored row).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This moment plus `millis` (may be negative), held at the ends of the range.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this moment; negative when `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, for people; never parsed back.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(out, "{moment:.3}"),
            Err(_) => write!(out, "{} ms", self.0),
        }
    }
}

/// Where the present moment comes from. The real one is in `gateway`; tests hold a fixed one.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// A count of milliseconds from any beginning, which goes as time does and which nobody sets. The real one is in
/// `gateway`.
pub trait Steady: Send + Sync {
    /// Where the count is.
    fn millis(&self) -> i64;
}

/// Where chance for ids, nonces and codes comes from. The real one is in `vault`.
///
/// Keys are never drawn from it: `vault` draws those from the system itself.
pub trait Random: Send + Sync {
    /// Fills `bytes` with unpredictable octets. An implementation that cannot must stop the process
    /// rather than return predictable ones.
    fn fill(&self, bytes: &mut [u8]);
}
