//! Tells the operator, in the log of the process, that the directory in force ends soon or has ended.
//!
//! Must never change what is done: the rules look at the end themselves.

use crate::clock::SystemClock;
use crate::serving::stop;
use rules::clock::{Clock as _, Timestamp};
use rules::directory::Directory;
use std::time::Duration;
use tokio::sync::watch;

/// How often the end is looked at, and told of while it is near or past.
const LOOK_INTERVAL: Duration = Duration::from_secs(6 * 3_600);

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

/// Tells of the end until the process is told to stop, at once for the first time. `look` hands the directory in force to
/// whoever it is given.
pub(crate) async fn watch(look: impl Fn(&dyn Fn(&Directory)), mut stopping: watch::Receiver<bool>) {
    loop {
        look(&tell);
        tokio::select! {
            () = stop(&mut stopping) => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

fn tell(directory: &Directory) {
    let (version, end) = (directory.version(), directory.valid_until());
    match Ending::of(directory, SystemClock.now()) {
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
