//! Tells the operator, in the log of the process, that the directory in force ends soon or has ended.
//!
//! Must never change what is done: the rules look at the end themselves.

use crate::clock::SystemClock;
use crate::serving::stop;
use rules::calendar::wall_clock;
use rules::clock::{Clock as _, Timestamp};
use rules::directory::Directory;
use rules::limits::HOUR_MILLIS;
use std::time::Duration;
use tokio::sync::watch;

/// How often the directory in force is looked at: an end is told of this much after it at most, that of a directory which
/// came in meanwhile too.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the same is told again while the end is near or past, in milliseconds.
const AGAIN_MILLIS: i64 = 6 * HOUR_MILLIS;

/// What is to be done about it.
pub(crate) const REMEDY: &str =
    "have the controllers sign a directory with a later valid_until_millis, and import it";

/// What the log says of a directory with this version and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing.
    Far,
    /// That it ends soon.
    Soon,
    /// That it has ended.
    Past,
}

impl Ending {
    /// How near the end of a directory is.
    pub(crate) fn of(directory: &Directory, now: Timestamp) -> Self {
        match (directory.has_ended(now), directory.ends_soon(now)) {
            (true, _) => Self::Past,
            (false, true) => Self::Soon,
            (false, false) => Self::Far,
        }
    }
}

/// What was told last, of which version, and when.
type Told = Option<(Ending, u64, Timestamp)>;

/// Tells of the end until the process is told to stop: at once, when it comes near, when it comes, and again and again
/// from there. `look` hands the directory in force to whoever it is given.
pub(crate) async fn watch(
    look: impl Fn(&mut dyn FnMut(&Directory)),
    mut stopping: watch::Receiver<bool>,
) {
    let mut told = None;
    loop {
        look(&mut |directory| {
            let now = SystemClock.now();
            let ending = Ending::of(directory, now);
            if is_news(&mut told, (ending, directory.version()), now) {
                tell(directory, ending);
            }
        });
        tokio::select! {
            () = stop(&mut stopping) => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// Whether this is something else than what was told last, or that was long ago.
fn is_news(told: &mut Told, (ending, version): (Ending, u64), now: Timestamp) -> bool {
    let is_known = told.is_some_and(|(before, of, at)| {
        (before, of) == (ending, version) && now.millis_since(at) < AGAIN_MILLIS
    });
    if !is_known {
        *told = Some((ending, version, now));
    }
    !is_known
}

fn tell(directory: &Directory, ending: Ending) {
    let (version, end) = (directory.version(), wall_clock(directory.valid_until()));
    match ending {
        Ending::Far => {}
        Ending::Soon => {
            tracing::warn!(version, %end, to_do = REMEDY, "the directory ends soon");
        }
        Ending::Past => {
            let text = "the directory has ended: nothing is shared or converted under it";
            tracing::error!(version, %end, to_do = REMEDY, "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a directory of this version, looked at in this hour, is told of.
    #[track_caller]
    fn check(told: &mut Told, (hour, version): (i64, u64), ending: Ending, expected: bool) {
        let now = Timestamp::from_millis(hour * HOUR_MILLIS);
        let seen = (ending, version);
        assert_eq!(is_news(told, seen, now), expected, "{hour}: {seen:?}");
    }

    #[test]
    fn each_change_is_told_at_once_and_the_same_again_after_a_while() {
        let told = &mut None;
        check(told, (0, 1), Ending::Far, true);
        check(told, (1, 1), Ending::Soon, true);
        check(told, (2, 1), Ending::Soon, false);
        check(told, (6, 1), Ending::Soon, false);
        check(told, (7, 1), Ending::Soon, true);
        check(told, (8, 1), Ending::Past, true);
        check(told, (9, 1), Ending::Past, false);
        check(told, (9, 2), Ending::Past, true);
        check(told, (10, 3), Ending::Far, true);
        check(told, (11, 3), Ending::Past, true);
    }
}
