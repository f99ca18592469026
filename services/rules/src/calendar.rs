//! Days in Europe/Amsterdam: when one begins and ends, and which are working days (Monday to Friday, without
//! the configured holidays).
//!
//! Must never count hours: a day has 23, 24 or 25 of them, and a term of days ends at the same time on the
//! clock, also over the change to summer time and back. Must never take a day that is not on the calendar for
//! another one.

use crate::clock::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The time zone in which days begin and end.
const ZONE: &str = "Europe/Amsterdam";

/// Longest term, in working days; a longer one is held at this.
pub const WORKING_DAYS_MAX: u32 = 1_000;

/// A text that names no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no day on the calendar as YYYY-MM-DD")]
pub struct DayError;

/// A day on the calendar. It begins and ends when it does in Amsterdam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// The day that it is in Amsterdam at this moment; none outside representable time.
    #[must_use]
    pub fn at(moment: Timestamp) -> Option<Self> {
        Some(Self(local(moment)?.date()))
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub fn number(self) -> i64 {
        let since = self.0.duration_since(Date::constant(1970, 1, 1));
        since.as_hours().div_euclid(24)
    }

    /// The day so many days after 1970-01-01; none outside representable time.
    #[must_use]
    pub fn from_number(days: i64) -> Option<Self> {
        Self(Date::constant(1970, 1, 1)).plus(days)
    }

    /// Its first moment.
    #[must_use]
    pub fn begin(self) -> Option<Timestamp> {
        let zone = TimeZone::get(ZONE).ok()?;
        Some(moment(&self.0.to_zoned(zone).ok()?))
    }

    /// The moment before which it lasts: the first one of the day after.
    #[must_use]
    pub fn end(self) -> Option<Timestamp> {
        self.plus(1)?.begin()
    }

    /// The day so many days later; earlier when negative.
    #[must_use]
    pub fn plus(self, days: i64) -> Option<Self> {
        let span = Span::new().try_days(days).ok()?;
        self.0.checked_add(span).ok().map(Self)
    }

    /// The last day of what lasts until just before `end`.
    #[must_use]
    pub fn last_before(end: Timestamp) -> Option<Self> {
        Self::at(end.plus_millis(-1))
    }

    /// Year, month and day of the month.
    #[must_use]
    pub fn numbers(self) -> (i16, i8, i8) {
        (self.0.year(), self.0.month(), self.0.day())
    }

    fn is_weekend(self) -> bool {
        matches!(self.0.weekday(), Weekday::Saturday | Weekday::Sunday)
    }
}

impl FromStr for Day {
    type Err = DayError;

    /// Reads YYYY-MM-DD and nothing else.
    fn from_str(text: &str) -> Result<Self, DayError> {
        let date: Date = text.parse().map_err(|_| DayError)?;
        if date.to_string() == text {
            Ok(Self(date))
        } else {
            Err(DayError)
        }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The same time on the clock in Amsterdam so many days later; none outside representable time.
#[must_use]
pub fn add_days(from: Timestamp, days: u32) -> Option<Timestamp> {
    let span = Span::new().try_days(days).ok()?;
    Some(moment(&local(from)?.checked_add(span).ok()?))
}

/// What the clock in Amsterdam shows at this moment, with the zone's letters, which tell the two hours apart
/// that the night of the change to winter time has twice. For people; never parsed back.
#[must_use]
pub fn wall_clock(at: Timestamp) -> String {
    local(at).map_or_else(
        || at.to_string(),
        |local| local.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
    )
}

fn local(at: Timestamp) -> Option<Zoned> {
    let moment = jiff::Timestamp::from_millisecond(at.millis()).ok()?;
    Some(moment.to_zoned(TimeZone::get(ZONE).ok()?))
}

fn moment(local: &Zoned) -> Timestamp {
    Timestamp::from_millis(local.timestamp().as_millisecond())
}

/// A calendar that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// The time zone's rules are not in this build.
    #[error("no rules for the time zone `Europe/Amsterdam`")]
    Zone(#[source] jiff::Error),
    /// A holiday is no day.
    #[error("holiday `{text}` is not a day as YYYY-MM-DD")]
    Holiday {
        /// The configured text.
        text: String,
    },
}

/// The days on which terms of working days run.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    holidays: BTreeSet<Day>,
}

impl Calendar {
    /// A calendar with these holidays, each as YYYY-MM-DD.
    ///
    /// # Errors
    /// When a holiday is no day, or the time zone is missing from the build.
    pub fn new<Text: AsRef<str>>(holidays: &[Text]) -> Result<Self, CalendarError> {
        let holidays = holidays
            .iter()
            .map(|text| {
                let text = text.as_ref();
                text.parse::<Day>().map_err(|_| CalendarError::Holiday {
                    text: text.to_owned(),
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
        let local = local(from)?;
        let mut day = Day(local.date());
        for _ in 0..days {
            day = self.next_working_day(day)?;
        }
        let end = day.0.to_datetime(local.time());
        Some(moment(&end.to_zoned(self.zone.clone()).ok()?))
    }

    fn next_working_day(&self, day: Day) -> Option<Day> {
        let mut next = day.plus(1)?;
        while !self.is_working_day(next) {
            next = next.plus(1)?;
        }
        Some(next)
    }

    /// Whether this is a working day.
    #[must_use]
    pub fn is_working_day(&self, day: Day) -> bool {
        !day.is_weekend() && !self.holidays.contains(&day)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A moment as the clock in Amsterdam shows it.
    pub(crate) fn at(text: &str) -> Timestamp {
        let zoned: Zoned = format!("{text}[Europe/Amsterdam]").parse().unwrap();
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
    fn the_ends_of_time_give_no_longer_term() {
        let calendar = Calendar::new::<&str>(&[]).unwrap();
        for millis in [i64::MIN, i64::MAX] {
            let end = Timestamp::from_millis(millis);
            assert_eq!(calendar.add_working_days(end, 1), end);
            assert_eq!((Day::at(end), add_days(end, 1)), (None, None));
            assert!(wall_clock(end).contains(&millis.to_string()));
        }
        let last: Day = "9999-12-31".parse().unwrap();
        assert_eq!((last.end(), last.plus(i64::MAX)), (None, None));
    }

    /// A day begins and ends at these moments, and has so many hours between.
    fn check_day(text: &str, begin: &str, end: &str, hours: i64) {
        let day: Day = text.parse().unwrap();
        let (first, next) = (day.begin().unwrap(), day.end().unwrap());
        assert_eq!(
            (first.to_string(), next.to_string()),
            (format!("{begin}:00:00.000Z"), format!("{end}:00:00.000Z")),
            "{text}"
        );
        assert_eq!(
            next.millis_since(first),
            hours * crate::limits::HOUR_MILLIS,
            "{text}"
        );
        for (moment, inside) in [(-1, false), (0, true), (hours * 3_600_000 - 1, true)] {
            assert_eq!(Day::at(first.plus_millis(moment)) == Some(day), inside);
        }
        assert_eq!(Day::last_before(next), Some(day));
        assert_eq!(Day::at(next), day.plus(1));
        assert_eq!(day.to_string(), text);
    }

    #[test]
    fn a_day_is_a_day_in_amsterdam() {
        check_day("2026-11-30", "2026-11-29T23", "2026-11-30T23", 24);
        check_day("2027-07-01", "2027-06-30T22", "2027-07-01T22", 24);
        check_day("2026-03-29", "2026-03-28T23", "2026-03-29T22", 23);
        check_day("2026-10-25", "2026-10-24T22", "2026-10-25T23", 25);
        check_day("2028-02-29", "2028-02-28T23", "2028-02-29T23", 24);
        check_day("2026-12-31", "2026-12-30T23", "2026-12-31T23", 24);
    }

    #[test]
    fn a_term_of_days_ends_at_the_same_time_on_the_clock() {
        for (from, days, end) in [
            ("2026-03-01T00:10", 90, "2026-05-30T00:10"),
            ("2026-10-01T00:10", 90, "2026-12-30T00:10"),
            ("2026-03-28T10:00", 1, "2026-03-29T10:00"),
            ("2026-10-24T23:59", 1, "2026-10-25T23:59"),
            ("2026-11-30T12:00", 0, "2026-11-30T12:00"),
        ] {
            assert_eq!(add_days(at(from), days), Some(at(end)), "{from} and {days}");
        }
    }

    #[test]
    fn the_clock_is_the_one_on_the_wall() {
        for (moment, text) in [
            (1_796_080_800_000, "2026-12-01 00:20:00 CET"),
            (1_782_858_000_000, "2026-07-01 00:20:00 CEST"),
            // The same hour twice, an hour apart.
            (1_792_888_200_000, "2026-10-25 02:30:00 CEST"),
            (1_792_891_800_000, "2026-10-25 02:30:00 CET"),
        ] {
            assert_eq!(wall_clock(Timestamp::from_millis(moment)), text);
        }
    }

    #[test]
    fn a_day_has_one_text_and_is_on_the_calendar() {
        for wrong in [
            "",
            "2026-1-1",
            "2027-+1-05",
            "20260101",
            "2026-02-30",
            "2026-11-31",
            "2027-02-29",
            "2100-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-01-00",
            "2026-01-01T00:00",
            " 2026-01-01",
            "01-01-2026",
            "today",
        ] {
            assert_eq!(wrong.parse::<Day>(), Err(DayError), "{wrong}");
            assert!(Calendar::new(&[wrong]).is_err(), "{wrong}");
        }
        assert!("2026-01-01".parse::<Day>().is_ok());
    }
}
