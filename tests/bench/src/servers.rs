//! The servers under measurement: those of `sluis sandbox --stay`, as processes.
//!
//! Must never leave one behind.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// What the sandbox prints when it stays up.
const READY: &str = "the servers stay up";
/// Clock ticks a second in /proc (USER_HZ on Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// A sandbox that stays up.
pub(crate) struct Sandbox {
    pub(crate) folder: PathBuf,
    child: Child,
}

impl Sandbox {
    /// Builds the program, plays the sandbox and waits until its servers stay up.
    pub(crate) async fn start(folder: &Path, postgres: Option<&str>) -> Self {
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
            .args(["sandbox", "--stay", "--folder"])
            .arg(folder)
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
                    child,
                };
            }
            seen.push(line);
        }
        panic!("the sandbox did not stay up:\n{}", seen.join("\n"));
    }

    /// Seconds of processor time of all servers so far: broker and key holders.
    pub(crate) fn processor_seconds(&self) -> f64 {
        let parent = self.child.id().expect("the sandbox runs").to_string();
        let processes = std::fs::read_dir("/proc").expect("/proc");
        processes
            .flatten()
            .filter_map(|entry| {
                let path = entry.path();
                let stat = std::fs::read_to_string(path.join("stat")).ok()?;
                // The name in parentheses may hold anything; fields are counted after it.
                let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
                let words = std::fs::read_to_string(path.join("cmdline")).ok()?;
                let is_server = *fields.get(1)? == parent && !words.contains("/portal/");
                let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
                is_server.then_some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
            })
            .sum()
    }

    /// Asks the sandbox to end, which ends its servers.
    pub(crate) async fn stop(mut self) {
        let id = self.child.id().expect("the sandbox runs").to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(
            asked.is_ok_and(|status| status.success()),
            "it could not be asked to stop"
        );
        drop(self.child.wait().await);
    }
}
