//! `sluis directory …`: looking at a directory file, signing it as a controller, and putting it in force.
//!
//! Must never sign what cannot be put in force, and must never put anything in force by itself: that is a logged call to a
//! running broker.

use crate::clock::SystemClock;
use crate::files::{self, FileError};
use crate::grpc::status::causes;
use crate::roles::ending::{self, Ending};
use client::directory::{DirectoryError, parts_to_send, read};
use client::error::from_status;
use client::{Connection, ConnectionError, ProtocolError};
use rules::calendar::{Day, wall_clock};
use rules::clock::{Clock as _, Timestamp};
use rules::directory::{Directory, head};
use rules::id::RequestId;
use rules::reason::Violation;
use std::fmt;
use std::path::Path;
use vault::chance::SystemChance;
use vault::sign::Paper;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::directory::v1::{ControllerSignature, ImportDirectoryRequest};

/// Why a directory command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryCommandError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The directory has mistakes; all of them.
    #[error("the directory has {} mistake(s):{}", .0.len(), listed(.0))]
    Mistakes(Vec<Violation>),
    /// A signature inside it is wrong.
    #[error("{}", causes(.0))]
    Directory(DirectoryError),
    /// It is past its end: signing or importing it helps nobody.
    #[error(
        "directory {version} ended on {}: nothing is shared or converted under it; {}",
        wall_clock(*end),
        ending::REMEDY
    )]
    Ended {
        /// Its version.
        version: u64,
        /// Its end.
        end: Timestamp,
    },
    /// The way to the broker cannot be made.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The broker asks for what is not there.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The broker said no or could not be reached.
    #[error("{0}")]
    Broker(String),
}

impl From<DirectoryError> for DirectoryCommandError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Invalid { mistakes, .. } => Self::Mistakes(mistakes),
            other => Self::Directory(other),
        }
    }
}

fn listed(mistakes: &[Violation]) -> String {
    mistakes
        .iter()
        .map(|mistake| format!("\n  {}: {}", mistake.field, mistake.description))
        .collect()
}

/// What stands in a directory file, and what ends soonest.
#[derive(Debug, serde::Serialize)]
pub struct Summary {
    /// Its version.
    pub version: u64,
    /// Organisations.
    pub organisations: usize,
    /// Edges.
    pub edges: usize,
    /// Parts beside the head; none in a directory of one piece.
    pub parts: usize,
    /// The last day of the edge that ends first, of those that have not ended, in Amsterdam.
    pub first_edge_ends: Option<String>,
    /// Its own end.
    #[serde(flatten)]
    pub end: End,
}

/// Until when a directory holds that has not ended.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct End {
    /// The moment, in milliseconds since 1970 UTC.
    pub valid_until_millis: i64,
    /// Whether it is so near that a new one should be signed.
    pub ends_soon: bool,
}

impl End {
    /// # Errors
    /// When it has ended.
    fn of(directory: &Directory, now: Timestamp) -> Result<Self, DirectoryCommandError> {
        let (version, end) = (directory.version(), directory.valid_until());
        match Ending::of(directory, now) {
            Ending::Past => Err(DirectoryCommandError::Ended { version, end }),
            ending => Ok(Self {
                valid_until_millis: end.millis(),
                ends_soon: ending == Ending::Soon,
            }),
        }
    }
}

impl fmt::Display for End {
    /// The day and the hour in Amsterdam, and what to do when they are near.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = wall_clock(Timestamp::from_millis(self.valid_until_millis));
        write!(out, "it holds until {end}")?;
        if self.ends_soon {
            write!(out, ", which is soon: {}", ending::REMEDY)?;
        }
        Ok(())
    }
}

impl Summary {
    fn of(directory: &Directory, now: Timestamp) -> Result<Self, DirectoryCommandError> {
        let ends = directory.edges().map(|edge| edge.valid_until);
        let first = ends.filter(|end| *end > now).min();
        Ok(Self {
            version: directory.version(),
            organisations: directory.peers().count(),
            edges: directory.edges().count(),
            parts: directory.parts().len(),
            first_edge_ends: first.and_then(Day::at).map(|day| day.to_string()),
            end: End::of(directory, now)?,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, organisations) = (self.version, self.organisations);
        write!(
            out,
            "directory {version}, {organisations} organisations, {} edges",
            self.edges
        )?;
        if self.parts > 0 {
            write!(out, ", {} parts", self.parts)?;
        }
        match &self.first_edge_ends {
            Some(day) => write!(out, "; the first edge ends on {day}")?,
            None => write!(out, "; every edge has ended")?,
        }
        write!(out, "; {}", self.end)
    }
}

/// Looks a directory file over: its shape, and every signature inside it. Whether the controllers signed it, the
/// configuration of a role says, which has their keys: `sluis config check`.
///
/// # Errors
/// With every mistake in its shape, or the first wrong signature; when it is past its end.
pub fn check(file: &Path, now: Timestamp) -> Result<Summary, DirectoryCommandError> {
    let directory = read(&files::read(file)?, None)?;
    Summary::of(&directory, now)
}

/// Adds a controller's signature over a directory's head to a signature file, in the place of an earlier one by the
/// same controller. Gives the directory's version and its end.
///
/// # Errors
/// When the directory has mistakes or is past its end, the key cannot be read, or the file cannot be written.
pub fn sign(
    file: &Path,
    key: &Path,
    controller: &str,
    out: &Path,
) -> Result<(u64, End), DirectoryCommandError> {
    let content = files::read(file)?;
    let directory = read(&content, None)?;
    let end = End::of(&directory, SystemClock.now())?;
    let key = files::controller_key(key)?;
    files::add_signature(out, controller, &key.sign(Paper::Directory, head(&content)))?;
    Ok((directory.version(), end))
}

/// Sends a directory with its signatures to the broker, to be put in force: its head, and the parts that the broker asks
/// for. Gives the version that is in force then, and its end.
///
/// # Errors
/// When a file cannot be read, the directory is past its end, or the broker says no.
pub async fn import(
    connection: &Connection,
    file: &Path,
    signatures: &Path,
) -> Result<(i64, End), DirectoryCommandError> {
    let content = files::read(file)?;
    let end = End::of(&read(&content, None)?, SystemClock.now())?;
    let given = files::signatures(signatures)?;
    let signatures = given
        .into_iter()
        .map(|(controller, signature)| ControllerSignature {
            controller,
            signature,
        })
        .collect();
    let mut request = ImportDirectoryRequest {
        request_id: Vec::new(),
        directory_toml: head(&content).to_vec(),
        signatures,
        parts: Vec::new(),
    };
    let mut client = DirectoryServiceClient::new(connection.channel());
    loop {
        let request_id = RequestId::draw(&SystemClock, &SystemChance::new());
        request.request_id = request_id.bytes().to_vec();
        let answer = client.import_directory(request.clone()).await;
        let answer = answer.map_err(|status| {
            DirectoryCommandError::Broker(from_status("ImportDirectory", &status).to_string())
        })?;
        let answer = answer.into_inner();
        if answer.missing_parts.is_empty() {
            return Ok((answer.version, end));
        }
        request.parts = parts_to_send(&content, &answer.missing_parts)?;
    }
}
