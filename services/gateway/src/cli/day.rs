//! Days and moments as people type and read them: a day is a day in Amsterdam.
//!
//! Must never take a day that is not on the calendar for another one, nor show a clock of another place.

use super::error::CliError;
use rules::calendar::{Day, wall_clock};
use rules::clock::Timestamp;

/// A day as typed, YYYY-MM-DD.
///
/// # Errors
///
/// When it is not on the calendar, or written in another way.
pub(crate) fn day(typed: &str) -> Result<Day, CliError> {
    typed.parse().map_err(|_| no_day(typed))
}

/// The moment at which a day as typed begins, in milliseconds since 1970.
///
/// # Errors
///
/// As [`day`].
pub(crate) fn begin_of(typed: &str) -> Result<i64, CliError> {
    let begin = day(typed)?.begin().ok_or_else(|| no_day(typed))?;
    Ok(begin.millis())
}

/// The moment before which a day as typed lasts, in milliseconds since 1970: the day itself belongs to it.
///
/// # Errors
///
/// As [`day`].
pub(crate) fn end_of(typed: &str) -> Result<i64, CliError> {
    let end = day(typed)?.end().ok_or_else(|| no_day(typed))?;
    Ok(end.millis())
}

fn no_day(typed: &str) -> CliError {
    CliError::usage(format!("`{typed}` is no day"), "write it as YYYY-MM-DD")
}

/// A moment for people, as the clock in Amsterdam shows it; nothing for none.
pub(crate) fn moment(millis: i64) -> String {
    match millis {
        0 => String::new(),
        millis => wall_clock(Timestamp::from_millis(millis)),
    }
}

/// The last day of what lasts until this moment, where it ends with the day; none for what ends within one.
pub(crate) fn last_day(until_millis: i64) -> Option<Day> {
    let until = Timestamp::from_millis(until_millis);
    Day::last_before(until).filter(|day| day.end() == Some(until))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The day begins and ends at these moments in UTC, and is told back as itself.
    fn check(typed: &str, begin: &str, end: &str) {
        let text = |millis| Timestamp::from_millis(millis).to_string();
        let (first, next) = (begin_of(typed).unwrap(), end_of(typed).unwrap());
        assert_eq!(text(first), format!("{begin}:00:00.000Z"), "{typed}");
        assert_eq!(text(next), format!("{end}:00:00.000Z"), "{typed}");
        assert_eq!(
            last_day(next).map(|day| day.to_string()),
            Some(typed.into())
        );
        assert_eq!(last_day(next - 1), None, "{typed}");
        assert!(moment(first).starts_with(&format!("{typed} 00:00:00 CE")));
    }

    #[test]
    fn days_begin_and_end_where_the_calendar_in_amsterdam_says() {
        check("2027-01-31", "2027-01-30T23", "2027-01-31T23");
        check("2026-03-29", "2026-03-28T23", "2026-03-29T22");
        check("2026-10-25", "2026-10-24T22", "2026-10-25T23");
        check("2028-02-29", "2028-02-28T23", "2028-02-29T23");
        assert_eq!(moment(0), "");
    }

    #[test]
    fn a_day_that_does_not_exist_is_refused() {
        for wrong in [
            "",
            "2026",
            "2026-11-31",
            "2027-02-29",
            "2027-1-5",
            "2027-+1-05",
            "2026-13-01",
            "23-11-2026",
            "today",
        ] {
            for answer in [begin_of(wrong), end_of(wrong)] {
                let text = answer.unwrap_err().to_string();
                let expected = format!("`{wrong}` is no day; write it as YYYY-MM-DD");
                assert_eq!(text, expected);
            }
        }
    }
}
