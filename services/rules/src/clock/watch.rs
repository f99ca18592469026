//! Whether the wall clock goes as time does: it is compared with a count that nobody sets.
//!
//! Must never say that a clock is right: two that go alike may both be wrong.

use super::{Clock, Steady, Timestamp};
use crate::limits::{CLOCK_SETTLE_MILLIS, CLOCK_STEP_MILLIS_MAX};

/// How long one comparison goes on, in milliseconds: a clock that is led slowly to the right time (NTP's slewing, a
/// twelfth of a second each second at most) stays within [`CLOCK_STEP_MILLIS_MAX`] for longer.
const COMPARED_MILLIS: i64 = 10_000;

/// Both as they were read in one moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The wall clock.
    pub wall: Timestamp,
    steady_millis: i64,
    /// How long the reading took: by so much it may be off.
    took_millis: i64,
}

impl Reading {
    /// Reads both.
    pub fn take(clock: &dyn Clock, steady: &dyn Steady) -> Self {
        let steady_millis = steady.millis();
        let wall = clock.now();
        Self {
            wall,
            steady_millis,
            took_millis: steady.millis().saturating_sub(steady_millis),
        }
    }
}

/// What a look at the clock showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes as time does.
    Agrees,
    /// It jumped, by so many milliseconds: ahead when positive.
    Jumped(i64),
    /// It jumped a moment ago, and has not gone as time does for long enough.
    Unsettled,
    /// From now on it is gone by again.
    Settled,
}

/// Looks at the wall clock again and again. What it sees between two looks it cannot see: look every second.
#[derive(Clone, Copy, Debug)]
pub struct ClockWatch {
    anchor: Reading,
    agrees_since: i64,
    is_settled: bool,
}

impl ClockWatch {
    /// Goes by the clock as it is: there is nothing yet to compare it with.
    #[must_use]
    pub const fn new(first: Reading) -> Self {
        Self {
            anchor: first,
            agrees_since: first.steady_millis,
            is_settled: true,
        }
    }

    /// Compares another reading with the last ones.
    pub fn look(&mut self, now: Reading) -> Standing {
        let elapsed = now.steady_millis.saturating_sub(self.anchor.steady_millis);
        let jump = now
            .wall
            .millis_since(self.anchor.wall)
            .saturating_sub(elapsed);
        let allowed = CLOCK_STEP_MILLIS_MAX
            .saturating_add(now.took_millis)
            .saturating_add(self.anchor.took_millis);
        if jump.saturating_abs() > allowed {
            self.anchor = now;
            self.agrees_since = now.steady_millis;
            self.is_settled = false;
            return Standing::Jumped(jump);
        }
        if elapsed > COMPARED_MILLIS {
            self.anchor = now;
        }
        if self.is_settled {
            Standing::Agrees
        } else if self.agreed_millis(now) >= CLOCK_SETTLE_MILLIS {
            self.is_settled = true;
            Standing::Settled
        } else {
            Standing::Unsettled
        }
    }

    /// For how long the clock has gone as time does, in milliseconds.
    #[must_use]
    pub const fn agreed_millis(&self, now: Reading) -> i64 {
        now.steady_millis.saturating_sub(self.agrees_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, steady_millis: i64) -> Reading {
        Reading {
            wall: Timestamp::from_millis(wall),
            steady_millis,
            took_millis: 0,
        }
    }

    /// Looks once a second at a clock that shows so much more than time; gives every standing.
    fn check(offsets: impl IntoIterator<Item = i64>, expected: &[Standing]) {
        let mut watch = ClockWatch::new(at(5_000_000, 0));
        let seen: Vec<Standing> = offsets
            .into_iter()
            .zip(1..)
            .map(|(offset, second)| {
                let steady = second * 1_000;
                watch.look(at(5_000_000 + steady + offset, steady))
            })
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_jump_either_way_is_seen_and_settles_in_three_seconds() {
        use Standing::{Agrees, Jumped, Settled, Unsettled};
        for jump in [3_600_000, -3_600_000, 40 * 86_400_000, 1_001] {
            check(
                [0, jump, jump, jump, jump, jump],
                &[Agrees, Jumped(jump), Unsettled, Unsettled, Settled, Agrees],
            );
        }
    }

    #[test]
    fn a_jump_for_two_seconds_is_never_gone_by() {
        use Standing::{Agrees, Jumped, Settled, Unsettled};
        check(
            [0, 9_000, 9_000, 0, 0, 0, 0, 0],
            &[
                Agrees,
                Jumped(9_000),
                Unsettled,
                Jumped(-9_000),
                Unsettled,
                Unsettled,
                Settled,
                Agrees,
            ],
        );
    }

    #[test]
    fn a_clock_that_is_led_slowly_does_not_jump() {
        let slewed = (1..200).map(|second| second * 83);
        check(slewed, &[Standing::Agrees; 199]);
        check([-1_000, 0, -999], &[Standing::Agrees; 3]);
    }

    #[test]
    fn a_reading_that_took_long_is_off_by_as_much() {
        let mut watch = ClockWatch::new(at(0, 0));
        let slow = Reading {
            took_millis: 4_000,
            ..at(5_000, 1_000)
        };
        assert_eq!(watch.look(slow), Standing::Agrees);
    }
}
