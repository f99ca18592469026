//! The sandbox: a broker, two key holders and a portal as real processes on this machine, and a year of
//! handovers played through them with invented people.
//!
//! Must never be taken for production: its authority, its keys and its people are thrown away with it.

mod cast;
mod certificates;
mod choices;
mod count;
mod directory;
mod dossier;
mod ground;
mod people;
mod plans;
mod policies;
mod processes;
mod progress;
mod report;
mod site;
mod source;
mod stay;
mod story;
mod tell;
mod year;

use crate::cli::error::CliError;
use crate::cli::output::{Answer, Unwritten, end, fail, note, print};
use crate::clock::SystemClock;
use clap::Args;
use client::{ClientError, ConnectionError};
use ground::Ground;
use progress::Progress;
use rules::clock::Clock as _;
use source::Year;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// The file that says that all servers serve.
const READY: &str = "ready.txt";
const READY_TEXT: &str = "All servers of this sandbox serve.\n";

/// `sluis sandbox`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example: sluis sandbox\nExample: sluis sandbox --stay\n\n\
        Needs nothing but this program. Exits 0 when the counts from the records that recipients opened \
        equal the source's, and 1 otherwise."
)]
pub struct Arguments {
    /// Keep the servers up afterwards and say how to call them.
    #[arg(long)]
    pub stay: bool,
    /// Start the servers and play nothing: an empty stage for trying things by hand.
    #[arg(long)]
    pub empty: bool,
    /// Only make the folder, and say how to start each server yourself: for killing them one by one.
    #[arg(long, conflicts_with_all = ["stay", "empty"])]
    pub lay: bool,
    /// Keep the databases on this PostgreSQL server, in schemas of their own: postgres://user@host/database.
    /// Without it each server has a file of SQLite.
    #[arg(long, value_name = "URL")]
    pub postgres: Option<String>,
    /// A further line for the configuration of every server: --set 'calls_per_second = 1000'. May be repeated.
    #[arg(long = "set", value_name = "LINE")]
    pub settings: Vec<String>,
    /// The folder for everything; wiped at the start.
    #[arg(long, value_name = "FOLDER", default_value = "./sluis-sandbox")]
    pub folder: PathBuf,
}

/// Why the sandbox did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// The folder is something else.
    #[error("`{}` is not empty and not a sandbox, so it is not wiped; name another with --folder", .0.display())]
    NoSandbox(PathBuf),
    /// Another sandbox runs in it.
    #[error("a sandbox is running in `{}`; stop it with Ctrl-C first, or name another folder with --folder", .0.display())]
    Running(PathBuf),
    /// A file cannot be made or read.
    #[error("`{}`: {source}; check room and rights of the folder", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration that was just written cannot be used: what was given is wrong.
    #[error(transparent)]
    Configuration(#[from] crate::configuration::ConfigurationError),
    /// A file that a configuration names cannot be used.
    #[error(transparent)]
    Named(#[from] crate::files::FileError),
    /// A database server cannot be used.
    #[error("the database server cannot be used: {0}; check the address after --postgres")]
    Database(#[from] store::Error),
    /// No free port.
    #[error("there is no free port on 127.0.0.1: {0}")]
    Port(std::io::Error),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A key is missing.
    #[error(transparent)]
    Key(#[from] vault::keyfile::KeyFileError),
    /// A file cannot be written as TOML.
    #[error("a file cannot be written as TOML: {0}")]
    Write(toml::ser::Error),
    /// The embedded source cannot be read.
    #[error("the embedded source cannot be read: {0}")]
    Source(#[from] toml::de::Error),
    /// Somebody is not in the cast.
    #[error("`{0}` is not in the cast of the sandbox")]
    Cast(String),
    /// The own program cannot be started as a server.
    #[error("this program cannot be started as a server: {source}")]
    Program {
        /// What the system said.
        source: std::io::Error,
    },
    /// A server failed.
    #[error("{name} {what}; its log is `{}`{last}", log.display())]
    Process {
        /// Which.
        name: &'static str,
        /// What happened.
        what: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        last: String,
    },
    /// A connection cannot be set up.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// An identity cannot be used.
    #[error(transparent)]
    Identity(#[from] CliError),
    /// A step of the play failed.
    #[error("{step} failed: {source}")]
    Step {
        /// Which step.
        step: &'static str,
        /// Why.
        source: ClientError,
    },
    /// A task of the play ended without an answer.
    #[error("a part of the play stopped: {0}")]
    Task(String),
    /// What came out is not what the play needs.
    #[error("{0}")]
    Unexpected(String),
    /// Standard output did not take the report.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
    /// The counts differ.
    #[error("the counts differ from the source:\n  {}", .0.join("\n  "))]
    Counts(Vec<String>),
}

/// Plays, reports, and stays if asked. Ends early, and stops all servers, on Ctrl-C or a termination.
pub async fn run(arguments: Arguments, as_json: bool) -> ExitCode {
    let outcome = tokio::select! {
        outcome = play(&arguments, as_json) => outcome,
        () = stopped() => {
            note("stopped; all servers of the sandbox are down");
            return ExitCode::from(130);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(SandboxError::Unwritten(unwritten)) => end(Err(unwritten), ExitCode::SUCCESS),
        Err(error) => {
            let value =
                serde_json::json!({ "error": { "kind": "failed", "text": error.to_string() } });
            fail(&format!("\nsandbox: {error}"), as_json.then_some(&value));
            ExitCode::FAILURE
        }
    }
}

async fn play(arguments: &Arguments, as_json: bool) -> Result<(), SandboxError> {
    let begun = Instant::now();
    let year = Year::read()?;
    let progress = Progress::new();
    progress
        .say("making a throw-away authority, certificates, keys, a directory and signed policies");
    let postgres = arguments.postgres.as_deref();
    let ground = Ground::lay(
        &arguments.folder,
        postgres,
        &arguments.settings,
        SystemClock.now(),
    )?;
    ground.wipe_schemas().await?;
    if arguments.lay {
        print(&stay::by_hand(&ground.plans), as_json)?;
        return Ok(());
    }
    let mut servers = ground.start(&progress).await?;
    if arguments.empty {
        // Whoever tries by hand must not have to know that a realm opens its context first.
        drop(year::open_clients(&ground, &progress).await?);
    }
    write(&ground.folder.join(READY), READY_TEXT.as_bytes())?;
    if arguments.empty {
        return stay::stay(&arguments.folder, &mut servers).await;
    }
    let mut played = year::play(&ground, &year, &progress).await?;
    for server in &mut servers {
        server.check()?;
    }
    played.outcome.whole = begun.elapsed();
    let differences = played.outcome.differences(&year);
    let mut json = played.outcome.json(&year);
    if let Some(object) = json.as_object_mut() {
        object.insert("story".to_owned(), played.story.json());
    }
    let text = format!("{}{}", played.story.text(), played.outcome.text(&year));
    print(&Answer::new(text, json), as_json)?;
    if !differences.is_empty() {
        return Err(SandboxError::Counts(differences));
    }
    if arguments.stay {
        stay::stay(&arguments.folder, &mut servers).await?;
    }
    Ok(())
}

/// Until somebody ends the sandbox: Ctrl-C, or a termination by the system.
async fn stopped() {
    let interrupted = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminated) => tokio::select! {
            _ = interrupted => (),
            _ = terminated.recv() => (),
        },
        Err(_) => drop(interrupted.await),
    }
}

/// Writes a file, with its folders.
fn write(path: &Path, bytes: &[u8]) -> Result<(), SandboxError> {
    let fault = |source| SandboxError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fault)?;
    }
    std::fs::write(path, bytes).map_err(fault)
}

/// Writes a file that only its owner may read.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), SandboxError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let fault = |source| SandboxError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fault)?;
    }
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(fault)?;
    file.write_all(bytes).map_err(fault)
}
