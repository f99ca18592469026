//! The sandbox's servers: migrated, started, waited for, and stopped with the sandbox.
//!
//! Must never leave a process behind: each is killed when its handle is dropped, and ends by itself when
//! the sandbox was killed.

use super::SandboxError;
use client::Connection;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long a process may take until it serves.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is asked.
const READY_INTERVAL: Duration = Duration::from_millis(50);

/// What to start.
pub(crate) struct Plan {
    /// Its name, for people.
    pub(crate) name: &'static str,
    /// Its configuration file.
    pub(crate) configuration: PathBuf,
    /// Where its output goes.
    pub(crate) log: PathBuf,
    /// Where it listens, `host:port`.
    pub(crate) address: String,
}

/// A process that serves.
pub(crate) struct Server {
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Server {
    /// Migrates, starts, and waits until `door` is answered.
    ///
    /// # Errors
    ///
    /// When the process ends, or does not serve in time; the error names its log.
    pub(crate) async fn start(plan: &Plan, door: &Connection) -> Result<Self, SandboxError> {
        let program = std::env::current_exe().map_err(|source| SandboxError::Program { source })?;
        let status = command(&program, "migrate", plan)?
            .status()
            .await
            .map_err(|source| SandboxError::Program { source })?;
        if !status.success() {
            return Err(died(
                plan,
                &format!("could not make its database ({status})"),
            ));
        }
        // The pipe ends with the sandbox, whatever ends it, and the server with the pipe.
        let child = command(&program, "serve", plan)?
            .arg("--until-input-ends")
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|source| SandboxError::Program { source })?;
        let mut server = Self {
            name: plan.name,
            log: plan.log.clone(),
            child,
        };
        server.wait_until_ready(plan, door).await?;
        Ok(server)
    }

    /// An error when the process has ended meanwhile.
    ///
    /// # Errors
    ///
    /// Names the process and its log.
    pub(crate) fn check(&mut self) -> Result<(), SandboxError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.died(&format!("ended by itself ({status})"))),
            Err(error) => Err(self.died(&format!("cannot be asked how it is: {error}"))),
        }
    }

    async fn wait_until_ready(
        &mut self,
        plan: &Plan,
        door: &Connection,
    ) -> Result<(), SandboxError> {
        let waiting = async {
            loop {
                self.check()?;
                if serves(door).await {
                    return Ok(());
                }
                tokio::time::sleep(READY_INTERVAL).await;
            }
        };
        match tokio::time::timeout(READY_TIMEOUT, waiting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(died(plan, "did not answer in time")),
        }
    }

    fn died(&self, what: &str) -> SandboxError {
        SandboxError::Process {
            name: self.name,
            what: what.to_owned(),
            log: self.log.clone(),
            last: last_lines(&self.log),
        }
    }
}

async fn serves(door: &Connection) -> bool {
    let request = HealthCheckRequest {
        service: String::new(),
    };
    HealthClient::new(door.channel())
        .check(request)
        .await
        .is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
}

fn command(program: &Path, verb: &str, plan: &Plan) -> Result<Command, SandboxError> {
    let open = || {
        File::options()
            .create(true)
            .append(true)
            .open(&plan.log)
            .map_err(|source| SandboxError::File {
                path: plan.log.clone(),
                source,
            })
    };
    let mut command = Command::new(program);
    command
        .arg(verb)
        .arg("--config")
        .arg(&plan.configuration)
        .stdin(Stdio::null())
        .stdout(open()?)
        .stderr(open()?)
        .kill_on_drop(true);
    Ok(command)
}

fn died(plan: &Plan, what: &str) -> SandboxError {
    SandboxError::Process {
        name: plan.name,
        what: what.to_owned(),
        log: plan.log.clone(),
        last: last_lines(&plan.log),
    }
}

/// The last lines of a log, so that the reader need not open it.
fn last_lines(log: &Path) -> String {
    const LINES: usize = 5;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let skip = text.lines().count().saturating_sub(LINES);
    text.lines()
        .skip(skip)
        .map(|line| format!("\n  | {line}"))
        .collect()
}
