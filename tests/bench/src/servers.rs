//! The servers under measurement: those of `sluis sandbox --empty`, as processes, fresh for each part.
//!
//! Must never leave one behind, nor its rows on somebody's database server.

use crate::processes::Processes;
use gateway::configuration::{Configuration, DatabaseSettings};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// One organisation here does what all of them do together: without these it would be held back.
const BUDGETS: &[&str] = &[
    "calls_per_second = 100000",
    "calls_burst = 100000",
    "calls_per_organisation = 512",
    "unfinished_bytes_per_organisation = 50331648",
    "unread_bytes_per_organisation = 50331648",
];

/// What the sandbox prints when it stays up.
const READY: &str = "the servers stay up";

/// An engine, and where there is room for what is measured on it.
pub(crate) struct Site {
    /// The engine's name.
    pub(crate) engine: &'static str,
    /// The database server, where the engine has one.
    pub(crate) postgres: Option<String>,
    /// A folder for everything.
    pub(crate) folder: PathBuf,
}

/// A sandbox that stays up.
pub(crate) struct Sandbox {
    pub(crate) folder: PathBuf,
    /// Where its callers keep their stores.
    pub(crate) stores: PathBuf,
    pub(crate) processes: Processes,
    child: Child,
}

impl Site {
    /// Starts fresh servers for a part of the run.
    pub(crate) async fn start(&self, part: &str) -> Sandbox {
        let home = self.folder.join(format!("{part}-{}", self.engine));
        let stores = self.folder.join(format!("{part}-{}-stores", self.engine));
        std::fs::create_dir_all(&stores).expect("a folder");
        Sandbox::start(&home, stores, self.postgres.as_deref()).await
    }
}

impl Sandbox {
    /// Builds the program if need be, starts the servers and waits until they stay up.
    async fn start(folder: &Path, stores: PathBuf, postgres: Option<&str>) -> Self {
        let own = std::env::current_exe().expect("the own path");
        let program = own.with_file_name("sluis");
        if !program.is_file() {
            let status = Command::new(env!("CARGO"))
                .args(["build", "--release", "-p", "gateway"])
                .status()
                .await
                .expect("cargo runs");
            assert!(status.success(), "the program could not be built");
        }
        let mut child = Command::new(&program)
            .args(["sandbox", "--empty", "--folder"])
            .arg(folder)
            .args(BUDGETS.iter().flat_map(|line| ["--set", line]))
            .args(postgres.iter().flat_map(|url| ["--postgres", url]))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the sandbox starts");
        let output = child.stderr.take().expect("its output");
        let mut lines = BufReader::new(output).lines();
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().await.expect("its output") {
            if line.contains(READY) {
                // Whoever does not read its output would stop the sandbox.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Self {
                    folder: folder.to_owned(),
                    stores,
                    processes: Processes::of(child.id().expect("the sandbox runs")),
                    child,
                };
            }
            seen.push(line);
        }
        panic!("the sandbox did not stay up:\n{}", seen.join("\n"));
    }

    /// The folder of a server's own files.
    pub(crate) fn home_of(&self, name: &str) -> PathBuf {
        self.folder.join("processes").join(name)
    }

    /// Asks the sandbox to end, which ends its servers, and removes their rows.
    pub(crate) async fn stop(mut self) {
        let id = self.child.id().expect("the sandbox runs").to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(
            asked.is_ok_and(|status| status.success()),
            "it could not be asked to stop"
        );
        drop(self.child.wait().await);
        for name in ["broker", "holder-1", "holder-2", "portal"] {
            let configuration = Configuration::load(&self.home_of(name).join("sluis.toml"));
            let configuration = configuration.expect("its configuration");
            let database: &DatabaseSettings = configuration.database();
            let settings = database.open().expect("its database");
            let removed = store::engine::remove_schema(&settings).await;
            removed.expect("its rows are removed");
        }
        std::fs::remove_dir_all(&self.folder).expect("its folder is removed");
        std::fs::remove_dir_all(&self.stores).expect("its callers' stores are removed");
    }
}
