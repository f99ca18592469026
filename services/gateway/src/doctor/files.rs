//! The files and folders of a role: whether they can be read, who else may read them, how old the keys in
//! them are, and how much room their disks have.
//!
//! Must never print what is in a key file.

use super::{Check, age};
use crate::configuration::{Configuration, DatabaseSettings, Role};
use crate::files::{FileError, check_private};
use crate::grpc::status::causes;
use crate::roles::broker::day_keys::DayKeyFolder;
use crate::roles::own_files;
use broker::handover::day_of;
use rules::clock::Timestamp;
use rules::limits::{DAY_KEY_DAYS_MAX, DAY_MILLIS};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Days after which the keys of a broker or a portal should be replaced. A holder's stay: with them go all
/// pseudonyms.
const KEY_FILE_DAYS_WARNING: i64 = 365;
/// Free room below which somebody should look, and below which a role is about to stop, in bytes.
const FREE_BYTES_WARNING: u64 = 1024 * 1024 * 1024;
const FREE_BYTES_FAULT: u64 = 64 * 1024 * 1024;
/// One mebibyte, in which room is told.
const MEBIBYTE: u64 = 1024 * 1024;

/// The configuration was read; here the files that it names.
pub(super) fn configuration(path: &Path, configuration: &Configuration) -> Check {
    let name = "configuration";
    match own_files::signed(configuration) {
        Ok(_) => {
            let role = configuration.role.name();
            let text = format!("{}: role {role}, its files can be read", path.display());
            Check::ok(name, text)
        }
        Err(error) => Check::fault(
            name,
            causes(&error),
            format!("repair the file, or its place in {}", path.display()),
        ),
    }
}

/// The key file: only its owner reads it, it has every secret of the role, and how old it is by its date.
pub(super) fn key_file(configuration: &Configuration, now: Timestamp) -> Check {
    let name = "key file";
    let path = &configuration.key_file;
    if let Err(error) = own_files::key_file(configuration) {
        return match error {
            FileError::Open { path } => open_to_others(name, &path),
            other => Check::fault(name, causes(&other), "restore it, or correct `key_file`"),
        };
    }
    let place = path.display();
    let Some(written) = written_at(path) else {
        return Check::warning(name, format!("{place} has no date"), "see why");
    };
    let millis = now.millis_since(written).max(0);
    let text = format!("{place} was written {} ago", age(millis));
    let is_old = millis > KEY_FILE_DAYS_WARNING.saturating_mul(DAY_MILLIS);
    if is_old && !matches!(configuration.role, Role::Holder(_)) {
        Check::warning(name, text, "plan new keys: `sluis keys new`")
    } else {
        Check::ok(name, text)
    }
}

/// The private key of the door.
pub(super) fn door_key(configuration: &Configuration) -> Check {
    let (name, path) = ("door key", &configuration.tls.key);
    match check_private(path) {
        Ok(()) => Check::ok(name, format!("{}: only its owner reads it", path.display())),
        Err(FileError::Open { path }) => open_to_others(name, &path),
        Err(error) => Check::fault(name, causes(&error), "correct `tls.key`"),
    }
}

/// The day keys: today's is there, none is kept beyond its time, and only the broker reads them.
pub(super) fn day_keys(folder: &Path, now: Timestamp) -> Check {
    let name = "day keys";
    let place = folder.display();
    let unreadable =
        |text: String| Check::fault(name, text, "let the broker's user read the folder");
    if !folder.exists() {
        let text = format!("{place} is not there yet; the broker makes it when it first starts");
        return Check::not_applicable(name, text);
    }
    let keys = DayKeyFolder::at(folder);
    let days = match keys.days() {
        Ok(days) => days,
        Err(error) => return unreadable(causes(&error)),
    };
    for day in &days {
        let path = keys.path(*day);
        match check_private(&path) {
            Ok(()) => {}
            Err(FileError::Open { path }) => return open_to_others(name, &path),
            Err(error) => return unreadable(causes(&error)),
        }
    }
    let today = day_of(now);
    let oldest = days.first().map_or(0, |day| today.saturating_sub(*day));
    let text = format!("{place}: {} keys, the oldest {oldest} days old", days.len());
    if i64::from(oldest) > DAY_KEY_DAYS_MAX.saturating_add(1) {
        let remedy = "start the broker and every key holder: a quarter of an hour on it destroys what is too old by all their clocks";
        Check::fault(name, format!("{text}, which is too long"), remedy)
    } else if let Some(ahead) = days.last().filter(|day| **day > today.saturating_add(1)) {
        let ahead = ahead.saturating_sub(today);
        let text = format!("{text}; one is of a day that comes in {ahead} days");
        let remedy = "see that the clock is right; if it was ahead when that was made, nothing: it goes in its time";
        Check::warning(name, text, remedy)
    } else if !days.contains(&today) {
        let remedy = "start the broker, which makes it";
        Check::warning(name, format!("{text}; today's is not there"), remedy)
    } else {
        Check::ok(name, text)
    }
}

/// The files that the role has made: a database and a store are sealed, and still tell how much there is of what.
pub(super) fn own_files(configuration: &Configuration) -> Check {
    let name = "own files";
    let mut files: Vec<PathBuf> = Vec::new();
    if let DatabaseSettings::File { path, .. } = configuration.database() {
        let beside = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
        files.extend(["", "-wal", "-shm"].map(beside));
    }
    if let Role::Portal(settings) = &configuration.role {
        files.push(settings.store.clone());
    }
    files.retain(|path| path.exists());
    if files.is_empty() {
        return Check::not_applicable(name, "there are none here");
    }
    let open = files.iter().find(|path| check_private(path).is_err());
    match open {
        None => Check::ok(name, "only their owner reads database and store"),
        Some(path) => {
            let text = format!("{} may be read by others than its owner", path.display());
            Check::warning(name, text, format!("run chmod 600 {}", path.display()))
        }
    }
}

/// Free room where the role writes.
pub(super) fn disk(configuration: &Configuration) -> Check {
    let name = "disk";
    let mut rooms = BTreeMap::new();
    for path in written_places(configuration) {
        let folder = existing(&path);
        match rustix::fs::statvfs(&folder) {
            Ok(room) => {
                rooms.insert(folder, room.f_bavail.saturating_mul(room.f_frsize));
            }
            Err(error) => {
                let text = format!("{}: {error}", folder.display());
                return Check::fault(name, text, "let this user see the folder");
            }
        }
    }
    match rooms.into_iter().min_by_key(|(_, free)| *free) {
        Some((folder, free)) => room(name, &folder, free),
        None => Check::not_applicable(name, "the database server's own disk is not seen from here"),
    }
}

/// Judges the disk with the least room, in bytes.
fn room(name: &str, folder: &Path, free: u64) -> Check {
    let text = format!("{}: {} MiB free", folder.display(), free / MEBIBYTE);
    if free < FREE_BYTES_FAULT {
        Check::fault(name, text, "make room: the role is about to refuse")
    } else if free < FREE_BYTES_WARNING {
        Check::warning(name, text, "make room")
    } else {
        Check::ok(name, text)
    }
}

fn written_places(configuration: &Configuration) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let DatabaseSettings::File { path, .. } = configuration.database() {
        places.push(path.clone());
    }
    match &configuration.role {
        Role::Broker(settings) => places.push(settings.day_keys.clone()),
        Role::Portal(settings) => places.push(settings.store.clone()),
        Role::Holder(_) => {}
    }
    places
}

/// The folder in which something lies or would lie.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .skip(1)
        .find(|folder| folder.is_dir())
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn open_to_others(name: &str, path: &Path) -> Check {
    let text = format!("{} may be read by others than its owner", path.display());
    Check::fault(name, text, format!("run chmod 600 {}", path.display()))
}

fn written_at(path: &Path) -> Option<Timestamp> {
    let written = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = written.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(since.as_millis().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn room_is_judged_before_it_is_gone() {
        for (free, expected) in [
            (FREE_BYTES_WARNING, Outcome::Ok),
            (FREE_BYTES_WARNING - 1, Outcome::Warning),
            (FREE_BYTES_FAULT, Outcome::Warning),
            (FREE_BYTES_FAULT - 1, Outcome::Fault),
        ] {
            let check = room("disk", Path::new("/data"), free);
            assert_eq!(check.outcome, expected, "{}", check.text);
        }
    }
}
