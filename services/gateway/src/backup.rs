//! `sluis backup …`: a role's tables in a folder with a manifest, looked over, and put back.
//!
//! Must never put a key into a backup: what the tables hold is sealed, and keys are kept apart from it. Must
//! never put back what does not match its manifest.

use crate::clock::SystemClock;
use crate::configuration::{Configuration, Role};
use rules::clock::{Clock as _, Timestamp};
use rules::hex;
use rules::limits::{DAY_MILLIS, STOPPED_DAYS};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use store::backup::{self as tables, Counts};
use store::restoration::Shut;
use vault::digest::sha256_of;

/// Version of the manifest's form.
const FORM: u32 = 1;
const MANIFEST: &str = "manifest.json";
const TABLES: &str = "tables.sqlite";
/// Only the owner may read a backup.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    form: u32,
    /// The role's name.
    pub(crate) role: String,
    /// The moment that the tables are of, in milliseconds since 1970 UTC.
    made_at_millis: i64,
    /// The same for people, RFC 3339.
    pub(crate) made_at: String,
    /// Version of the program that made it.
    program: String,
    /// Which engine the tables came from.
    engine: String,
    /// The file's length in octets and its SHA-256, in hexadecimal.
    pub(crate) bytes: u64,
    sha256: String,
    /// Rows by table.
    pub(crate) rows: Counts,
    /// What is not inside, and must be kept elsewhere.
    pub(crate) not_inside: Vec<String>,
}

impl Manifest {
    /// The same for people.
    pub(crate) fn told(&self, what: &str, folder: &Path) -> String {
        let rows: i64 = self.rows.values().sum();
        let mut text = format!(
            "{what}: {} backup of {}, {rows} rows in {} tables, {} octets, in {}\n",
            self.role,
            self.made_at,
            self.rows.len(),
            self.bytes,
            folder.display()
        );
        for missing in &self.not_inside {
            text.push_str("not inside: ");
            text.push_str(missing);
            text.push('\n');
        }
        text
    }
}

/// What keeps a backup from being made or put back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// A file or folder.
    #[error("`{path}` cannot be {what}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// Something is there already.
    #[error("`{0}` is there already; name a folder that is not: a backup is never written over")]
    There(PathBuf),
    /// No manifest.
    #[error("`{0}` is no manifest of a backup; name the folder that `sluis backup create` made")]
    Form(PathBuf),
    /// A newer program's.
    #[error(
        "`{path}` has form {form}, and this program knows {FORM}; use the program that made it"
    )]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its form.
        form: u32,
    },
    /// Not what was written.
    #[error(
        "`{path}` is not what was written when the backup was made: {what}; use another backup"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// How that shows.
        what: &'static str,
    },
    /// Of another role.
    #[error("the backup is of a {backup}, and the configuration of a {own}; name the right one")]
    OtherRole {
        /// The backup's.
        backup: String,
        /// The configuration's.
        own: &'static str,
    },
    /// Older than what was stopped is kept.
    #[error(
        "the backup is of {made_at}, and what was stopped is kept for {STOPPED_DAYS} days: what was stopped \
         since would come back to life; use a younger backup"
    )]
    TooOld {
        /// When it was made.
        made_at: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The configuration's password file.
    #[error(transparent)]
    File(#[from] crate::files::FileError),
}

/// What a role's tables need besides, which a backup never holds.
fn not_inside(configuration: &Configuration) -> Vec<String> {
    let mut list = vec![
        format!("the key file {}", configuration.key_file.display()),
        format!(
            "certificate and key of the door, {} and {}",
            configuration.tls.certificate.display(),
            configuration.tls.key.display()
        ),
        "the configuration and the files that it names".to_owned(),
    ];
    match &configuration.role {
        Role::Broker(settings) => list.push(format!(
            "the day keys in {}: kept nowhere else, so that what was destroyed stays destroyed; without them \
             open summaries and dossiers cannot be read, and their handovers end at their deadlines",
            settings.day_keys.display()
        )),
        Role::Holder(_) => {}
        Role::Portal(settings) => list.push(format!(
            "the portal's own store {}, with the withdrawals that it sends again",
            settings.store.display()
        )),
    }
    list
}

/// Makes a backup of a role, while it runs, in a new folder.
pub(crate) async fn create(
    configuration: &Configuration,
    folder: &Path,
) -> Result<Manifest, BackupError> {
    if folder.exists() {
        return Err(BackupError::There(folder.to_owned()));
    }
    let made = std::fs::DirBuilder::new().mode(FOLDER_MODE).create(folder);
    made.map_err(|source| io(folder, "made", source))?;
    let written = write(configuration, folder).await;
    if written.is_err() {
        // What is half-written is no backup, and would be taken for one.
        drop(std::fs::remove_dir_all(folder));
    }
    written
}

async fn write(configuration: &Configuration, folder: &Path) -> Result<Manifest, BackupError> {
    let settings = configuration.database().open()?;
    let role = configuration.role.of_store();
    let path = folder.join(TABLES);
    let made_at = SystemClock.now();
    let rows = tables::take(&settings, role, &path).await?;
    let owner_only = std::fs::Permissions::from_mode(FILE_MODE);
    std::fs::set_permissions(&path, owner_only).map_err(|source| io(&path, "closed", source))?;
    let (bytes, sha256) = digest(&path)?;
    let engine = match settings {
        store::Settings::Sqlite(_) => "SQLite",
        store::Settings::Postgres(_) => "PostgreSQL",
    };
    let manifest = Manifest {
        form: FORM,
        role: configuration.role.name().to_owned(),
        made_at_millis: made_at.millis(),
        made_at: made_at.to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine.to_owned(),
        bytes,
        sha256,
        rows,
        not_inside: not_inside(configuration),
    };
    // Last: a folder without it is no backup.
    let path = folder.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    let mut file = std::fs::OpenOptions::new();
    let mut file = file
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|source| io(&path, "made", source))?;
    std::io::Write::write_all(&mut file, &text)
        .and_then(|()| file.sync_all())
        .map_err(|source| io(&path, "written", source))?;
    Ok(manifest)
}

/// Looks a backup over: its digest, its pages and references, its schema, and its rows against the manifest.
pub(crate) async fn verify(folder: &Path) -> Result<Manifest, BackupError> {
    let path = folder.join(MANIFEST);
    let text = std::fs::read(&path).map_err(|source| io(&path, "read", source))?;
    let form = serde_json::from_slice::<serde_json::Value>(&text)
        .ok()
        .and_then(|value| u32::try_from(value.get("form")?.as_u64()?).ok());
    if let Some(form) = form.filter(|form| *form > FORM) {
        return Err(BackupError::Newer { path, form });
    }
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|_| BackupError::Form(path.clone()))?;
    let role = store::Role::from_name(&manifest.role).ok_or(BackupError::Form(path))?;
    let path = folder.join(TABLES);
    let changed = |what| BackupError::Changed {
        path: path.clone(),
        what,
    };
    if digest(&path)? != (manifest.bytes, manifest.sha256.clone()) {
        return Err(changed("its digest differs"));
    }
    if tables::verify(&path, role).await? != manifest.rows {
        return Err(changed("it has other rows"));
    }
    Ok(manifest)
}

/// Puts a backup back into the empty database of a configuration. The door of a broker or a portal is shut
/// then.
pub(crate) async fn restore(
    configuration: &Configuration,
    folder: &Path,
) -> Result<Manifest, BackupError> {
    let manifest = verify(folder).await?;
    let own = configuration.role.name();
    if manifest.role != own {
        return Err(BackupError::OtherRole {
            backup: manifest.role,
            own,
        });
    }
    let settings = configuration.database().open()?;
    let shut = Shut {
        restored_at: SystemClock.now(),
        backup_at: Timestamp::from_millis(manifest.made_at_millis),
    };
    if is_too_old(shut) {
        let made_at = manifest.made_at;
        return Err(BackupError::TooOld { made_at });
    }
    let role = configuration.role.of_store();
    let shut = (!matches!(configuration.role, Role::Holder(_))).then_some(shut);
    tables::put_back(&folder.join(TABLES), &settings, role, shut).await?;
    Ok(manifest)
}

/// Whether partners may have forgotten what was stopped since the backup.
fn is_too_old(shut: Shut) -> bool {
    shut.restored_at.millis_since(shut.backup_at) > STOPPED_DAYS.saturating_mul(DAY_MILLIS)
}

fn digest(path: &Path) -> Result<(u64, String), BackupError> {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok((bytes, hex::encode(&sha256_of(&mut file)?)))
    };
    read().map_err(|source| io(path, "read", source))
}

fn io(path: &Path, what: &'static str, source: std::io::Error) -> BackupError {
    BackupError::Io {
        path: path.to_owned(),
        what,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_one_day_too_old_is_not_put_back() {
        let shut = |days: i64| Shut {
            restored_at: Timestamp::from_millis(days.saturating_mul(DAY_MILLIS)),
            backup_at: Timestamp::from_millis(0),
        };
        assert!(!is_too_old(shut(STOPPED_DAYS)));
        assert!(is_too_old(shut(STOPPED_DAYS.saturating_add(1))));
    }
}
