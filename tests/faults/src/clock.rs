//! A wall clock that jumps: libfaketime between a process and the system, told by a file what to add.
//!
//! Must never move the clock that measures spans: no process has one that jumps.

use std::path::{Path, PathBuf};

/// Where Debian keeps the library, below a folder for each kind of machine.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// One process's wall clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// A clock that is right until it is told otherwise; none when the library is not installed.
    pub(crate) fn new(file: &Path) -> Option<Self> {
        let folders = std::fs::read_dir(LIBRARIES).ok()?.flatten();
        let library = folders
            .map(|folder| folder.path().join(LIBRARY))
            .find(|library| library.is_file())?;
        let clock = Self {
            file: file.to_owned(),
            library,
        };
        clock.jump(0);
        Some(clock)
    }

    /// What a process is started with, so that it lives by this clock.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let told = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD", told(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", told(&self.file)),
            // Seconds until a change of the file is seen.
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }

    /// From now on (within a second) the clock is so many seconds ahead, or behind.
    pub(crate) fn jump(&self, seconds: i64) {
        // Written beside and moved, so that nobody reads half of it.
        let beside = self.file.with_extension("next");
        std::fs::write(&beside, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(&beside, &self.file).unwrap();
    }
}
