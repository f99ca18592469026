//! Working days: Monday to Friday in Europe/Amsterdam, without the configured holidays.
//!
//! Must never count hours: a term of days ends at the same time on the clock, also over the change
//! to summer time and back.

use crate::clock::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

/// The time zone in which days begin and end.
const ZONE: &str = "Europe/Amsterdam";

/// Longest term, in working days; a longer one is held at this.
pub const WORKING_DAYS_MAX: u32 = 1_000;

/// A calendar that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// The time zone's rules are not in this build.
    #[error("no rules for the time zone `Europe/Amsterdam`")]
    Zone(#[source] jiff::Error),
    /// A holiday is no date.
    #[error("holiday `{text}` is not a date as YYYY-MM-DD")]
    Holiday {
        /// The configured text.
        text: String,
    },
}

/// The days on which terms run.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    holidays: BTreeSet<Date>,
}

impl Calendar {
    /// A calendar with these holidays, each as YYYY-MM-DD.
    ///
    /// # Errors
    /// When a holiday is no date, or the time zone is missing from the build.
    pub fn new<Text: AsRef<str>>(holidays: &[Text]) -> Result<Self, CalendarError> {
        let holidays = holidays
            .iter()
            .map(|text| {
                parse_date(text.as_ref()).ok_or_else(|| CalendarError::Holiday {
                    text: text.as_ref().to_owned(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            zone: TimeZone::get(ZONE).map_err(CalendarError::Zone)?,
            holidays,
        })
    }

    /// The same time of day `days` working days later, counted from the first one after `from`.
    ///
    /// Friday 10:00 and one day is Monday 10:00; so is Saturday 10:00 and one day. Past the end of
    /// representable time `from` comes back, which is a deadline that has passed: never a longer one.
    #[must_use]
    pub fn add_working_days(&self, from: Timestamp, days: u32) -> Timestamp {
        self.try_add_working_days(from, days.min(WORKING_DAYS_MAX))
            .unwrap_or(from)
    }

    fn try_add_working_days(&self, from: Timestamp, days: u32) -> Option<Timestamp> {
        let local = self.local(from)?;
        let mut date = local.date();
        for _ in 0..days {
            date = self.next_working_day(date)?;
        }
        let moment = date
            .to_datetime(local.time())
            .to_zoned(self.zone.clone())
            .ok()?;
        Some(Timestamp::from_millis(moment.timestamp().as_millisecond()))
    }

    fn next_working_day(&self, date: Date) -> Option<Date> {
        let mut next = date.tomorrow().ok()?;
        while !self.is_working_day(next) {
            next = next.tomorrow().ok()?;
        }
        Some(next)
    }

    /// Whether this date is a working day.
    #[must_use]
    pub fn is_working_day(&self, date: Date) -> bool {
        !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
            && !self.holidays.contains(&date)
    }

    /// The date on the calendar at this moment; none outside representable time.
    #[must_use]
    pub fn date(&self, at: Timestamp) -> Option<Date> {
        Some(self.local(at)?.date())
    }

    fn local(&self, at: Timestamp) -> Option<jiff::Zoned> {
        let moment = jiff::Timestamp::from_millisecond(at.millis()).ok()?;
        Some(moment.to_zoned(self.zone.clone()))
    }
}

/// A date written as YYYY-MM-DD and in no other way.
#[must_use]
pub fn parse_date(text: &str) -> Option<Date> {
    let date: Date = text.parse().ok()?;
    (date.to_string() == text).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let zoned: jiff::Zoned = format!("{text}[Europe/Amsterdam]").parse().unwrap();
        Timestamp::from_millis(zoned.timestamp().as_millisecond())
    }

    fn check(from: &str, days: u32, expected: &str) {
        let calendar = Calendar::new(&["2026-12-25", "2027-01-01", "2027-03-29"]).unwrap();
        assert_eq!(
            calendar.add_working_days(at(from), days),
            at(expected),
            "{from} and {days} days"
        );
    }

    #[test]
    fn weekends_and_holidays_do_not_count() {
        check("2026-11-23T10:00", 0, "2026-11-23T10:00");
        check("2026-11-23T10:00", 1, "2026-11-24T10:00");
        check("2026-11-23T10:00", 5, "2026-11-30T10:00");
        check("2026-11-27T10:00", 1, "2026-11-30T10:00");
        check("2026-11-28T10:00", 1, "2026-11-30T10:00");
        check("2026-11-29T23:59", 1, "2026-11-30T23:59");
        check("2026-12-24T09:00", 1, "2026-12-28T09:00");
        check("2026-12-24T09:00", 5, "2027-01-04T09:00");
        check("2026-12-25T09:00", 2, "2026-12-29T09:00");
    }

    #[test]
    fn the_time_on_the_clock_stays_over_both_changes() {
        // Summer time begins on 28 March 2027 and ends on 31 October 2027.
        check("2027-03-26T10:00", 1, "2027-03-30T10:00");
        check("2027-10-29T10:00", 1, "2027-11-01T10:00");
        let day = |from: &str| {
            let calendar = Calendar::new::<&str>(&[]).unwrap();
            calendar
                .add_working_days(at(from), 1)
                .millis_since(at(from))
                / crate::limits::HOUR_MILLIS
        };
        assert_eq!(day("2027-03-19T10:00"), 72);
        assert_eq!(day("2027-03-26T10:00"), 71, "an hour is lost");
        assert_eq!(day("2027-10-29T10:00"), 73, "an hour is won");
        // A night's time that does not exist on the Sunday of the change exists on Monday.
        check("2027-03-25T02:30", 3, "2027-03-31T02:30");
    }

    #[test]
    fn the_date_is_the_one_in_amsterdam() {
        let calendar = Calendar::new::<&str>(&[]).unwrap();
        for (moment, date) in [
            ("2026-11-23T00:00", "2026-11-23"),
            ("2026-11-22T23:59", "2026-11-22"),
            ("2027-07-01T00:30", "2027-07-01"),
        ] {
            assert_eq!(calendar.date(at(moment)), parse_date(date), "{moment}");
        }
    }

    #[test]
    fn the_ends_of_time_give_no_longer_term() {
        let calendar = Calendar::new::<&str>(&[]).unwrap();
        for millis in [i64::MIN, i64::MAX] {
            let end = Timestamp::from_millis(millis);
            assert_eq!(calendar.add_working_days(end, 1), end);
            assert_eq!(calendar.date(end), None);
        }
    }

    #[test]
    fn a_date_has_one_text() {
        for wrong in [
            "",
            "2026-1-1",
            "20260101",
            "2026-02-30",
            "2026-01-01T00:00",
            " 2026-01-01",
            "01-01-2026",
        ] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
            assert!(Calendar::new(&[wrong]).is_err(), "{wrong}");
        }
        assert!(parse_date("2026-01-01").is_some());
    }
}
