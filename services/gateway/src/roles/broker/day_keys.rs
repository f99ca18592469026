//! The day keys: one file for each day, in a folder outside the database and its backups.
//!
//! Must never keep a key beyond its time: with it goes, for good, whatever only it could open.

use crate::files::{self, FileError};
use broker::Broker;
use broker::handover::day_of;
use rules::clock::Timestamp;
use rules::hex;
use rules::limits::DAY_KEY_DAYS_MAX;
use rules::secret::Secret;
use std::path::{Path, PathBuf};
use vault::rest::{DayKey, DayKeys};

/// How the files are called: the day since 1970 and this.
const EXTENSION: &str = "key";

/// The folder with the day keys.
#[derive(Clone, Debug)]
pub struct DayKeyFolder(PathBuf);

impl DayKeyFolder {
    /// The folder at this path, made when there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        std::fs::create_dir_all(path).map_err(|source| FileError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self(path.to_owned()))
    }

    /// The folder at this path, as it is.
    #[must_use]
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Reads every key, after making those of today and tomorrow. Destroys none: the clock may be wrong.
    ///
    /// # Errors
    /// When a file cannot be read or made.
    pub fn load(&self, now: Timestamp) -> Result<DayKeys, FileError> {
        let mut days = Vec::new();
        for day in self.days()? {
            days.push((day, files::seed(&self.path(day))?));
        }
        let mut keys = DayKeys::new(days);
        for day in wanted(now) {
            if keys.current(day).is_none() {
                let made = match self.make(day) {
                    // Another broker on the same folder was first.
                    Err(FileError::There { path }) => files::seed(&path)?,
                    made => made?,
                };
                keys.insert(DayKey::from_secret(day, &made));
            }
        }
        Ok(keys)
    }

    /// That every key that is there can be read; where the folder is not there, that it can be made.
    ///
    /// # Errors
    /// When one cannot.
    pub(crate) fn check(&self) -> Result<(), FileError> {
        if !self.0.exists() {
            let above = self.0.ancestors().find(|folder| folder.exists());
            return match above {
                Some(above) if !above.is_dir() => Err(FileError::Io {
                    path: self.0.clone(),
                    source: std::io::ErrorKind::NotADirectory.into(),
                }),
                Some(_) | None => Ok(()),
            };
        }
        for day in self.days()? {
            files::seed(&self.path(day))?;
        }
        Ok(())
    }

    /// Brings the keys in use and in the folder up to date: those that were too old at a moment that has surely come
    /// are destroyed.
    ///
    /// # Errors
    /// When a file cannot be read, made or destroyed.
    pub fn renew(&self, broker: &Broker, surely: Timestamp) -> Result<(), FileError> {
        self.destroy_old(surely)?;
        broker.keys().replace_days(self.load(broker.now())?);
        Ok(())
    }

    /// Whether there is a key that is too old at this moment.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn has_old(&self, now: Timestamp) -> Result<bool, FileError> {
        Ok(self.days()?.iter().any(|day| is_too_old(*day, now)))
    }

    fn destroy_old(&self, surely: Timestamp) -> Result<(), FileError> {
        for day in self.days()? {
            if is_too_old(day, surely) {
                self.destroy(day)?;
            }
        }
        Ok(())
    }

    /// Where the key of a day lies, or would lie.
    pub(crate) fn path(&self, day: u32) -> PathBuf {
        self.0.join(format!("{day}.{EXTENSION}"))
    }

    fn make(&self, day: u32) -> Result<Secret<[u8; 32]>, FileError> {
        let key = DayKey::generate();
        let text = Secret::new(hex::encode(key.expose()));
        files::write_secret(&self.path(day), &text)?;
        Ok(key)
    }

    /// Writes over the file and removes it.
    fn destroy(&self, day: u32) -> Result<(), FileError> {
        let path = self.path(day);
        let io = |source| FileError::Io {
            path: path.clone(),
            source,
        };
        std::fs::write(&path, [b'0'; 64]).map_err(io)?;
        match std::fs::remove_file(&path) {
            // Another broker on the same folder was first.
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(io),
        }
    }

    /// The days of which there is a key, the oldest first.
    pub(crate) fn days(&self) -> Result<Vec<u32>, FileError> {
        let io = |source| FileError::Io {
            path: self.0.clone(),
            source,
        };
        let mut days = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let day: Option<u32> = name.to_str().and_then(|name| {
                name.strip_suffix(EXTENSION)?
                    .strip_suffix('.')?
                    .parse()
                    .ok()
            });
            days.extend(day);
        }
        days.sort_unstable();
        Ok(days)
    }
}

/// Today's and tomorrow's, so that there is a key at the moment at which the day begins.
fn wanted(now: Timestamp) -> [u32; 2] {
    let today = day_of(now);
    [today, today.saturating_add(1)]
}

fn is_too_old(day: u32, now: Timestamp) -> bool {
    i64::from(day) < i64::from(day_of(now)) - DAY_KEY_DAYS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use rules::limits::DAY_MILLIS;
    use vault::rest::{DataKey, Place};

    #[test]
    fn keys_are_made_kept_and_destroyed() {
        let path = std::env::temp_dir().join(format!("sluis-day-keys-{}", std::process::id()));
        let folder = DayKeyFolder::open(&path).expect("a folder");
        let at = |day: i64| Timestamp::from_millis(day * DAY_MILLIS);
        let check = |day: i64, surely: i64, is_old: bool, expected: &[u32]| {
            let keys = folder.load(at(day)).expect("keys");
            assert_eq!(folder.has_old(at(day)).expect("days"), is_old);
            folder.destroy_old(at(surely)).expect("destroyed");
            assert!(expected.iter().all(|day| keys.current(*day).is_some()));
            assert_eq!(folder.days().expect("days"), expected, "on day {day}");
        };
        check(100, 100, false, &[100, 101]);
        check(101, 101, false, &[100, 101, 102]);
        check(131, 131, false, &[100, 101, 102, 131, 132]);
        // By the clock alone nothing goes.
        check(133, 131, true, &[100, 101, 102, 131, 132, 133, 134]);
        check(133, 133, true, &[102, 131, 132, 133, 134]);
        check(133, 133, false, &[102, 131, 132, 133, 134]);
        std::fs::remove_dir_all(&path).expect("removed");
    }

    #[test]
    fn brokers_that_share_a_folder_have_the_same_keys() {
        let path =
            std::env::temp_dir().join(format!("sluis-day-keys-shared-{}", std::process::id()));
        let place = Place {
            table: "handover",
            row: &[1; 16],
            column: "wrapped_key",
        };
        let at = Timestamp::from_millis(200 * DAY_MILLIS);
        let keys: Vec<DayKeys> = std::thread::scope(|scope| {
            let brokers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| DayKeyFolder::open(&path).expect("a folder").load(at)))
                .collect();
            let loaded = brokers
                .into_iter()
                .map(|broker| broker.join().expect("no panic"));
            loaded.map(|keys| keys.expect("keys")).collect()
        });
        for one in &keys {
            let wrapped = one
                .current(200)
                .expect("today's")
                .wrap(&place, &DataKey::generate());
            let wrapped = wrapped.expect("a wrapped key");
            assert!(
                keys.iter()
                    .all(|other| other.unwrap(&place, &wrapped).is_ok())
            );
        }
        std::fs::remove_dir_all(&path).expect("removed");
    }
}
