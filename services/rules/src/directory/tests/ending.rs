//! The end of a directory.
//!
//! Must never leave a moment that belongs to neither side of it.

use super::{NOW, check, directory, file};
use crate::limits::{DAY_MILLIS, DIRECTORY_DAYS_MAX};

/// The last moment at which a directory that is issued now may end.
fn longest() -> i64 {
    NOW.plus_millis(DIRECTORY_DAYS_MAX * DAY_MILLIS).millis()
}

#[test]
fn a_directory_ends_when_it_says() {
    let at = "valid_until_millis";
    check(|file| file.valid_until_millis = NOW.millis() + 1, &[]);
    check(|file| file.valid_until_millis = NOW.millis(), &[at]);
    check(|file| file.valid_until_millis = -1, &[at]);
    check(|file| file.valid_until_millis = longest(), &[]);
    check(|file| file.valid_until_millis = longest() + 1, &[at]);
    check(|file| file.valid_until_millis = i64::MAX, &[at]);
    let mut week = file();
    week.valid_until_millis = NOW.plus_millis(8 * DAY_MILLIS).millis();
    let directory = directory(&week);
    for (days, ended, soon) in [
        (0, false, false),
        (1, false, false),
        (2, false, true),
        (8, false, true),
        (9, true, true),
    ] {
        let now = NOW.plus_millis(days * DAY_MILLIS + i64::from(days == 2));
        assert_eq!(directory.has_ended(now), ended, "{days}");
        assert_eq!(directory.ends_soon(now), soon, "{days}");
    }
}
