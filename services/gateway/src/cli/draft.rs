//! Dossiers that wait here for their release: offered already, sealed under the desk's own rest key.
//!
//! Must never lie on the disk in clear, and is gone when the dossier was released.

use super::error::CliError;
use super::identity::Identity;
use rules::id::{HandoverId, Label};
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use vault::rest::Place;

/// Only its owner reads a draft.
const MODE: u32 = 0o600;

/// Values to be sealed, by label.
pub(crate) type Values = Vec<(Label, Secret<Vec<u8>>)>;

/// Keeps the dossier of an offered handover.
///
/// # Errors
///
/// When it cannot be sealed or written.
pub(crate) fn keep(
    identity: &Identity,
    handover: &HandoverId,
    dossier: &BTreeMap<Label, String>,
) -> Result<(), CliError> {
    let texts: BTreeMap<&str, &str> = dossier
        .iter()
        .map(|(label, value)| (label.as_str(), value.as_str()))
        .collect();
    let plain = Secret::new(toml::to_string(&texts).unwrap_or_default());
    let path = path(identity, handover);
    let sealed = identity
        .crypter()?
        .seal(&place(handover), plain.expose().as_bytes())
        .map_err(|_| broken(&path))?;
    let fault = |source| CliError::File {
        path: path.clone(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fault)?;
    }
    let mut file = std::fs::File::options();
    file.write(true).create(true).truncate(true).mode(MODE);
    let mut file = file.open(&path).map_err(fault)?;
    file.write_all(&sealed).map_err(fault)
}

/// The dossier that was kept for a handover.
///
/// # Errors
///
/// When there is none, or it does not open.
pub(crate) fn kept(identity: &Identity, handover: &HandoverId) -> Result<Values, CliError> {
    let path = path(identity, handover);
    let sealed = std::fs::read(&path).map_err(|_| {
        CliError::usage(
            "no dossier for this handover is kept here",
            "release it as the identity that offered it",
        )
    })?;
    let opened = identity
        .crypter()?
        .open(&place(handover), &sealed)
        .map_err(|_| broken(&path))?;
    let text = std::str::from_utf8(opened.expose()).map_err(|_| broken(&path))?;
    let table: BTreeMap<Label, String> = toml::from_str(text).map_err(|_| broken(&path))?;
    Ok(values(&table))
}

/// Forgets it.
pub(crate) fn forget(identity: &Identity, handover: &HandoverId) {
    // One that cannot be removed stays sealed.
    let _ = std::fs::remove_file(path(identity, handover));
}

/// Texts as values to be sealed.
pub(crate) fn values(table: &BTreeMap<Label, String>) -> Values {
    table
        .iter()
        .map(|(label, value)| (label.clone(), Secret::new(value.clone().into_bytes())))
        .collect()
}

fn path(identity: &Identity, handover: &HandoverId) -> PathBuf {
    identity
        .store
        .with_file_name("drafts")
        .join(handover.to_string())
}

fn place(handover: &HandoverId) -> Place<'_> {
    Place {
        table: "draft",
        row: handover.bytes(),
        column: "dossier",
    }
}

fn broken(path: &std::path::Path) -> CliError {
    CliError::Toml {
        path: path.to_owned(),
        message: "the kept dossier does not open under this desk's rest key".to_owned(),
    }
}
