//! What the neutral desk records itself about those who came to its site: no handover, a record of its
//! own beside its store, sealed under the desk's rest key.
//!
//! Must never lie on the disk in clear.

use super::{SandboxError, write_secret};
use crate::cli::error::CliError;
use crate::cli::identity::Identity;
use rules::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use vault::rest::Place;

/// Where in the desk's records they lie.
const PLACE: Place<'static> = Place {
    table: "site",
    row: b"records",
    column: "interventions",
};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// The name that the person left there.
    pub(crate) name: String,
    /// The target group.
    pub(crate) group: String,
    /// The kind of intervention.
    pub(crate) intervention: String,
}

/// Keeps the records.
///
/// # Errors
///
/// When they cannot be sealed or written.
pub(crate) fn keep(desk: &Identity, records: &[Recorded]) -> Result<(), SandboxError> {
    let plain = Secret::new(serde_json::to_string(records).unwrap_or_default());
    let sealed = desk
        .crypter()?
        .seal(&PLACE, plain.expose().as_bytes())
        .map_err(|_| broken(desk))?;
    write_secret(&path(desk), &sealed)
}

/// The records, opened again.
///
/// # Errors
///
/// When they cannot be read or do not open.
pub(crate) fn read(desk: &Identity) -> Result<Vec<Recorded>, SandboxError> {
    let path = path(desk);
    let sealed = std::fs::read(&path).map_err(|source| SandboxError::File { path, source })?;
    let plain = desk
        .crypter()?
        .open(&PLACE, &sealed)
        .map_err(|_| broken(desk))?;
    serde_json::from_slice(plain.expose()).map_err(|_| broken(desk))
}

fn path(desk: &Identity) -> PathBuf {
    desk.store.with_file_name("site.sealed")
}

fn broken(desk: &Identity) -> SandboxError {
    SandboxError::Identity(CliError::Toml {
        path: path(desk),
        message: "the records do not open under this desk's rest key".to_owned(),
    })
}
