//! Deadlines of states, and how they stop and go on.
//!
//! Must never give more time after a pause than was left before it.

use super::State;
use crate::calendar::{Calendar, add_days};
use crate::clock::Timestamp;
use crate::limits::{DAY_MILLIS, HOUR_MILLIS};

/// How long an offer may lie there without any sign of the recipient before the sender is told, in
/// milliseconds.
const UNDELIVERED_MILLIS: i64 = DAY_MILLIS;

/// When the sender is told that the recipient took no notice of an offer.
#[must_use]
pub const fn undelivered_at(offered_at: Timestamp) -> Timestamp {
    offered_at.plus_millis(UNDELIVERED_MILLIS)
}

/// How long a handover may stay in a state. The defaults stand in docs/handover-table.md; an edge's parties
/// may agree on others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// From permission to offer, in milliseconds.
    pub prepared_millis: i64,
    /// From offer to the recipient's decision, in working days.
    pub offer_working_days: u32,
    /// From acceptance to release, in working days.
    pub release_working_days: u32,
    /// From release to the contact with the candidate, in days.
    pub completion_days: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            prepared_millis: 24 * HOUR_MILLIS,
            offer_working_days: 5,
            release_working_days: 2,
            completion_days: 14,
        }
    }
}

/// The last moment of a state that was entered at `entered_at`; none for an ended one.
///
/// `ON_HOLD` has no time of its own: it keeps the deadline of the offer, and `entered_at` is the
/// moment of the offer.
#[must_use]
pub fn deadline(
    state: State,
    entered_at: Timestamp,
    timers: &Timers,
    calendar: &Calendar,
) -> Option<Timestamp> {
    match state {
        State::Prepared => Some(entered_at.plus_millis(timers.prepared_millis)),
        State::Offered | State::OnHold => {
            Some(calendar.add_working_days(entered_at, timers.offer_working_days))
        }
        State::Accepted => Some(calendar.add_working_days(entered_at, timers.release_working_days)),
        State::Released => Some(add_days(entered_at, timers.completion_days).unwrap_or(entered_at)),
        State::Completed
        | State::Declined
        | State::Returned
        | State::Cancelled
        | State::Withdrawn
        | State::Expired => None,
    }
}

/// What is left until the deadline when the timer stops, in milliseconds; nothing when it has passed.
#[must_use]
pub fn remaining_millis(deadline: Timestamp, now: Timestamp) -> i64 {
    deadline.millis_since(now).max(0)
}

/// The new deadline when the timer goes on with what was left.
#[must_use]
pub const fn resumed_deadline(remaining_millis: i64, now: Timestamp) -> Timestamp {
    now.plus_millis(remaining_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: Timestamp = Timestamp::from_millis(1_795_420_800_000);

    #[test]
    fn each_open_state_has_its_time_and_an_ended_one_has_none() {
        let calendar = Calendar::new::<&str>(&[]).unwrap();
        for state in State::ALL.iter().copied() {
            let days = deadline(state, MONDAY, &Timers::default(), &calendar)
                .map(|end| end.millis_since(MONDAY) / DAY_MILLIS);
            let expected = match state {
                State::Prepared => Some(1),
                State::Offered | State::OnHold => Some(7),
                State::Accepted => Some(2),
                State::Released => Some(14),
                State::Completed
                | State::Declined
                | State::Returned
                | State::Cancelled
                | State::Withdrawn
                | State::Expired => None,
            };
            assert_eq!(days, expected, "{state}");
        }
    }

    #[test]
    fn a_pause_gives_back_what_was_left() {
        let at = Timestamp::from_millis;
        for (end, paused, resumed, expected) in [
            (100, 40, 1_000, 1_060),
            (100, 100, 500, 500),
            (100, 140, 500, 500),
        ] {
            let left = remaining_millis(at(end), at(paused));
            assert_eq!(resumed_deadline(left, at(resumed)), at(expected));
        }
    }
}
