//! The one real clock of the program.
//!
//! Must never be read below the gateway: everything else gets the present moment as an argument.

use rules::calendar::Day;
use rules::clock::{Clock, Steady, Timestamp};
use std::sync::OnceLock;
use std::time::{Instant, UNIX_EPOCH};

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A machine whose clock stands before 1970 reads as 1970, which every order and certificate then
    /// refuses: wrong time closes the door and opens nothing.
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place where the real clock is read; everyone else is handed a `Clock`"
        )]
        let now = std::time::SystemTime::now();
        let millis = now.duration_since(UNIX_EPOCH).map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
        Timestamp::from_millis(millis)
    }
}

impl Steady for SystemClock {
    /// Since this process first asked.
    fn millis(&self) -> i64 {
        static BEGUN: OnceLock<Instant> = OnceLock::new();
        let elapsed = BEGUN.get_or_init(Instant::now).elapsed();
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Today in Europe/Amsterdam, as YYYY-MM-DD: the day on which terms and dates of contact are judged, which
/// near midnight is not the day of UTC. None when this build has no rules for that zone.
#[must_use]
pub fn today() -> Option<String> {
    Some(Day::at(SystemClock.now())?.to_string())
}
