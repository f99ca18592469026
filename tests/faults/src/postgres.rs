//! A PostgreSQL server of this run alone, which can be killed with all its processes and started again.
//!
//! Must never touch a server that it did not start.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Attempts at starting it again: what was killed may still hold on to its memory for a moment.
const STARTS_MAX: usize = 20;
const START_PAUSE: Duration = Duration::from_millis(250);

/// The server.
pub(crate) struct Postgres {
    folder: PathBuf,
    /// Its address.
    pub(crate) url: String,
    kills: AtomicU64,
    longest_away_millis: AtomicU64,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../postgres")
}

impl Postgres {
    /// Makes a server in a folder that does not exist yet, in one that its user may enter.
    pub(crate) async fn start(folder: &Path) -> Self {
        let mut command = Command::new(script());
        command.arg("start").arg(folder).stderr(Stdio::inherit());
        let started = command.output().await.unwrap();
        assert!(started.status.success(), "no PostgreSQL server: see above");
        Self {
            folder: folder.to_owned(),
            url: String::from_utf8(started.stdout).unwrap().trim().to_owned(),
            kills: AtomicU64::new(0),
            longest_away_millis: AtomicU64::new(0),
        }
    }

    /// Kills it with all its processes, leaves it down for a while, and starts it again.
    pub(crate) async fn kill(&self, away: Duration) {
        let begun = Instant::now();
        assert!(self.run("kill").await, "PostgreSQL could not be killed");
        self.kills.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(away).await;
        let mut starts = 1;
        while !self.run("again").await {
            assert!(starts < STARTS_MAX, "PostgreSQL does not start again");
            starts += 1;
            tokio::time::sleep(START_PAUSE).await;
        }
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap();
        self.longest_away_millis.fetch_max(millis, Ordering::SeqCst);
    }

    pub(crate) fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    /// The longest that it was away, its recovery included.
    pub(crate) fn longest_away(&self) -> Duration {
        Duration::from_millis(self.longest_away_millis.load(Ordering::SeqCst))
    }

    async fn run(&self, verb: &str) -> bool {
        let mut command = Command::new(script());
        // The server that it starts keeps what it is given open: so nothing of ours.
        command
            .arg(verb)
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().await.unwrap().success()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(script());
        command.arg("stop").arg(&self.folder);
        drop(command.stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}
