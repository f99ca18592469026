//! Dates that a recipient gives: of the contact with the candidate, and of a proposed start.
//!
//! Must never let a handover complete without contact: a date before the release or ahead of today
//! is none.

use crate::calendar::Day;
use crate::clock::Timestamp;
use crate::reason::{Outcome, Reason, Refusal};
use std::fmt;

/// The day on which the recipient had contact with the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContactDate(Day);

impl fmt::Display for ContactDate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Reads the date of contact: YYYY-MM-DD, on or after the day of release, not after today, all in
/// Europe/Amsterdam. A release that lies ahead was made by a clock that was wrong, and must keep nobody from
/// completing: today will do then. Refuses with `CONTACT_DATE_INVALID`.
#[must_use]
pub fn contact_date(text: &str, released_at: Timestamp, now: Timestamp) -> Outcome<ContactDate> {
    let between = |day: &Day| {
        Day::at(released_at.min(now)).is_some_and(|released| released <= *day)
            && Day::at(now).is_some_and(|today| *day <= today)
    };
    match text.parse::<Day>().ok().filter(between) {
        Some(day) => Outcome::Permitted(ContactDate(day)),
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
pub fn proposed_date(text: &str, now: Timestamp) -> Outcome<Option<Day>> {
    if text.is_empty() {
        return Outcome::Permitted(None);
    }
    let ahead = |day: &Day| Day::at(now).is_some_and(|today| today <= *day);
    match text.parse::<Day>().ok().filter(ahead) {
        Some(day) => Outcome::Permitted(Some(day)),
        None => Outcome::Refused(Refusal::about(
            Reason::InvalidRequest,
            "proposed_date",
            "expected YYYY-MM-DD, today or later in Europe/Amsterdam, or nothing",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::tests::at;

    /// Which of these dates of contact is right, released and completed at these moments in Amsterdam.
    fn check_contact(released: &str, now: &str, dates: &[(&str, bool)]) {
        for (text, right) in dates {
            let answer = contact_date(text, at(released), at(now));
            let permitted = matches!(answer, Outcome::Permitted(_));
            assert_eq!(permitted, *right, "{text}, released {released}, now {now}");
        }
    }

    #[test]
    fn contact_lies_between_release_and_today() {
        check_contact(
            "2026-11-21T12:00",
            "2026-11-23T12:00",
            &[
                ("2026-11-20", false),
                ("2026-11-21", true),
                ("2026-11-23", true),
                ("2026-11-24", false),
                ("", false),
                ("gisteren", false),
                ("2026-11-31", false),
            ],
        );
    }

    #[test]
    fn today_is_today_in_amsterdam() {
        // In UTC it is still the day before.
        let night = "2026-12-01T00:30";
        let dates = [
            ("2026-11-30", false),
            ("2026-12-01", true),
            ("2026-12-02", false),
        ];
        check_contact("2026-12-01T00:10", night, &dates);
        let dates = [("2026-11-29", false), ("2026-11-30", true)];
        check_contact("2026-11-30T00:10", "2026-11-30T23:30", &dates);
        for day in ["2026-03-29", "2026-10-25"] {
            let (night, eve) = (format!("{day}T00:30"), format!("{day}T23:30"));
            check_contact(&night, &eve, &[(day, true)]);
        }
    }

    #[test]
    fn a_release_by_a_clock_that_was_ahead_keeps_nobody_from_completing() {
        let dates = [
            ("2026-11-22", false),
            ("2026-11-23", true),
            ("2026-11-24", false),
        ];
        check_contact("2026-11-24T12:00", "2026-11-23T12:00", &dates);
    }

    #[test]
    fn a_proposal_lies_ahead_or_is_none() {
        for (text, right) in [
            ("", true),
            ("2026-11-22", false),
            ("2026-11-23", true),
            ("2027-01-01", true),
            ("2027-02-29", false),
            ("x", false),
        ] {
            let answer = proposed_date(text, at("2026-11-23T00:30"));
            assert_eq!(matches!(answer, Outcome::Permitted(_)), right, "{text}");
        }
    }
}
