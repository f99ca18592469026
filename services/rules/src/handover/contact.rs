//! Dates that a recipient gives: of the contact with the candidate, and of a proposed start.
//!
//! Must never let a handover complete without contact: a date before the release or ahead of today
//! is none.

use crate::calendar::{Calendar, parse_date};
use crate::clock::Timestamp;
use crate::reason::{Outcome, Reason, Refusal};
use jiff::civil::Date;
use std::fmt;

/// The day on which the recipient had contact with the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContactDate(Date);

impl fmt::Display for ContactDate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Reads the date of contact: YYYY-MM-DD, on or after the day of release, not after today, all in
/// Europe/Amsterdam. A release that lies ahead was made by a clock that was wrong, and must keep nobody from
/// completing: today will do then. Refuses with `CONTACT_DATE_INVALID`.
#[must_use]
pub fn contact_date(
    text: &str,
    released_at: Timestamp,
    now: Timestamp,
    calendar: &Calendar,
) -> Outcome<ContactDate> {
    let between = |date: &Date| {
        calendar
            .date(released_at.min(now))
            .is_some_and(|released| released <= *date)
            && calendar.date(now).is_some_and(|today| *date <= today)
    };
    match parse_date(text).filter(between) {
        Some(date) => Outcome::Permitted(ContactDate(date)),
        None => Outcome::Refused(Refusal::about(
            Reason::ContactDateInvalid,
            "contact_date",
            "expected YYYY-MM-DD, on or after the day of release and not in the future",
        )),
    }
}

/// Reads the date that a recipient proposes: YYYY-MM-DD, today or later; empty for none. Refuses with
/// `INVALID_REQUEST`.
#[must_use]
pub fn proposed_date(text: &str, now: Timestamp, calendar: &Calendar) -> Outcome<Option<Date>> {
    if text.is_empty() {
        return Outcome::Permitted(None);
    }
    let ahead = |date: &Date| calendar.date(now).is_some_and(|today| today <= *date);
    match parse_date(text).filter(ahead) {
        Some(date) => Outcome::Permitted(Some(date)),
        None => Outcome::Refused(Refusal::about(
            Reason::InvalidRequest,
            "proposed_date",
            "expected YYYY-MM-DD, today or later, or nothing",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DAY_MILLIS;

    /// 2026-11-23 12:00 in Amsterdam.
    const NOON: Timestamp = Timestamp::from_millis(1_795_431_600_000);

    #[test]
    fn contact_lies_between_release_and_today() {
        let calendar = Calendar::new::<&str>(&[]).unwrap();
        for (text, right) in [
            ("2026-11-20", false),
            ("2026-11-21", true),
            ("2026-11-23", true),
            ("2026-11-24", false),
            ("", false),
            ("gisteren", false),
        ] {
            let answer = contact_date(text, NOON.plus_millis(-2 * DAY_MILLIS), NOON, &calendar);
            assert_eq!(matches!(answer, Outcome::Permitted(_)), right, "{text}");
        }
    }

    #[test]
    fn a_release_by_a_clock_that_was_ahead_keeps_nobody_from_completing() {
        let calendar = Calendar::new::<&str>(&[]).unwrap();
        for (text, right) in [
            ("2026-11-22", false),
            ("2026-11-23", true),
            ("2026-11-24", false),
        ] {
            let answer = contact_date(text, NOON.plus_millis(DAY_MILLIS), NOON, &calendar);
            assert_eq!(matches!(answer, Outcome::Permitted(_)), right, "{text}");
        }
    }

    #[test]
    fn a_proposal_lies_ahead_or_is_none() {
        let calendar = Calendar::new::<&str>(&[]).unwrap();
        for (text, right) in [
            ("", true),
            ("2026-11-22", false),
            ("2026-11-23", true),
            ("2027-01-01", true),
            ("x", false),
        ] {
            let answer = proposed_date(text, NOON, &calendar);
            assert_eq!(matches!(answer, Outcome::Permitted(_)), right, "{text}");
        }
    }
}
