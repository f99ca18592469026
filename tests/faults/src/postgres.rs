//! A PostgreSQL server of this run alone, which can be killed with all its processes and started again, and whose
//! disk can be full.
//!
//! Must never touch a server that it did not start.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::Mutex;

/// Attempts at starting it again: what was killed may still hold on to its memory for a moment.
const STARTS_MAX: usize = 40;
const START_PAUSE: Duration = Duration::from_millis(250);

/// The server.
pub(crate) struct Postgres {
    folder: PathBuf,
    /// Its address.
    pub(crate) url: String,
    /// Whether its folder is a disk of its own that can be full.
    pub(crate) is_bounded: bool,
    kills: AtomicU64,
    longest_away_millis: AtomicU64,
    /// One harm at a time.
    hand: Mutex<()>,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../postgres")
}

impl Postgres {
    /// Makes a server in a folder that does not exist yet, in one that its user may enter. Bounded, the folder
    /// becomes a disk of its own that can be full, where root may mount one.
    pub(crate) async fn start(folder: &Path, bounded: bool) -> Self {
        let verb = if bounded { "start-bounded" } else { "start" };
        let mut command = Command::new(script());
        command.arg(verb).arg(folder).stderr(Stdio::inherit());
        let started = command.output().await.unwrap();
        assert!(started.status.success(), "no PostgreSQL server: see above");
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        Self {
            folder: folder.to_owned(),
            url: String::from_utf8(started.stdout).unwrap().trim().to_owned(),
            is_bounded: mounts.contains(&format!(" {} tmpfs ", folder.display())),
            kills: AtomicU64::new(0),
            longest_away_millis: AtomicU64::new(0),
            hand: Mutex::new(()),
        }
    }

    /// Kills it with all its processes, leaves it down for a while, and starts it again.
    pub(crate) async fn kill(&self, away: Duration) {
        let _hand = self.hand.lock().await;
        let begun = Instant::now();
        assert!(self.run("kill").await, "PostgreSQL could not be killed");
        self.kills.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(away).await;
        self.serve_again().await;
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap();
        self.longest_away_millis.fetch_max(millis, Ordering::SeqCst);
    }

    /// Leaves it next to no room for a while, and then all again. It stops when it cannot write its journal, and
    /// cannot start before there is room.
    pub(crate) async fn fill(&self, lasts: Duration) {
        let _hand = self.hand.lock().await;
        assert!(self.run("full").await, "its disk could not be filled");
        tokio::time::sleep(lasts).await;
        assert!(self.run("room").await, "its disk stays full");
        self.serve_again().await;
    }

    async fn serve_again(&self) {
        let mut starts = 1;
        while !self.run("again").await {
            assert!(starts < STARTS_MAX, "PostgreSQL does not start again");
            starts += 1;
            tokio::time::sleep(START_PAUSE).await;
        }
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
