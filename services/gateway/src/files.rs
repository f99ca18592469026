//! Files that the configuration names: keys, signatures and the policies folder.
//!
//! Must never print what is in a key file, and never take a key file that others may read.

use rules::hex;
use rules::secret::Secret;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use vault::keyfile::{KeyFile, KeyFileError, Role};
use vault::sign::SigningKey;

/// Only the owner reads and writes.
const SECRET_MODE: u32 = 0o600;
/// The bits that a secret file must not have.
pub(crate) const OTHERS_MASK: u32 = 0o077;
/// Most files in a policies folder.
const POLICY_FILES_MAX: usize = 1_000;
/// Deepest folder in a policies folder.
const POLICY_DEPTH_MAX: usize = 4;

/// Why a file that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("`{}` cannot be read or written: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is there already, and what is in it may be in use.
    #[error("`{}` is there already and is not written over; name another file, or move this one away", path.display())]
    There {
        /// Which.
        path: PathBuf,
    },
    /// Others than its owner may read it.
    #[error("`{}` may be read by others than its owner; run chmod 600 on it", path.display())]
    Open {
        /// Which.
        path: PathBuf,
    },
    /// It does not have the form it must have.
    #[error("`{}` does not have the form it must have: {expected}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
    },
    /// A key file lacks a secret, or has one too many.
    #[error("the key file `{}` cannot be used: {source}", path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyFileError,
    },
}

/// One controller's signature, as a signature file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureLine {
    /// The controller's name.
    pub controller: String,
    /// Ed25519 as 128 hexadecimal digits.
    pub signature: String,
}

/// A signature file: `[[signature]]` for each controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureFile {
    /// The signatures.
    #[serde(default)]
    pub signature: Vec<SignatureLine>,
}

/// Reads a file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(|source| io(path, source))
}

/// Reads the key file of a role.
///
/// # Errors
/// When others may read it, or it is not the key file of this role.
pub fn key_file(path: &Path, role: Role) -> Result<KeyFile, FileError> {
    let text = secret(path)?;
    KeyFile::parse(role, &text).map_err(|source| FileError::KeyFile {
        path: path.to_owned(),
        source,
    })
}

/// Reads a controller's or a day's secret: 64 hexadecimal digits.
///
/// # Errors
/// When others may read it, or it is not one.
pub fn seed(path: &Path) -> Result<Secret<[u8; 32]>, FileError> {
    let text = secret(path)?;
    let octets = Secret::new(hex::decode(text.expose().trim()).unwrap_or_default());
    let seed: [u8; 32] = octets
        .expose()
        .as_slice()
        .try_into()
        .map_err(|_| FileError::Form {
            path: path.to_owned(),
            expected: "64 hexadecimal digits",
        })?;
    Ok(Secret::new(seed))
}

/// Reads a controller's signing key.
///
/// # Errors
/// As [`seed`].
pub fn controller_key(path: &Path) -> Result<SigningKey, FileError> {
    Ok(SigningKey::from_seed(&seed(path)?))
}

/// Writes a new secret file that only its owner may read. Never writes over one that is there, and is never
/// seen half-written by another process.
///
/// # Errors
/// When there is a file already, or it cannot be written.
pub fn write_secret(path: &Path, text: &Secret<String>) -> Result<(), FileError> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("new-{}-{number}", std::process::id()));
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(SECRET_MODE)
            .open(&beside)?;
        file.write_all(text.expose().as_bytes())?;
        file.sync_all()?;
        let named = std::fs::hard_link(&beside, path);
        std::fs::remove_file(&beside).and(named)
    };
    write().map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => FileError::There {
            path: path.to_owned(),
        },
        _ => io(path, source),
    })
}

/// Reads a signature file.
///
/// # Errors
/// When it cannot be read or is not one.
pub fn signatures(path: &Path) -> Result<Vec<(String, Vec<u8>)>, FileError> {
    let wrong = || FileError::Form {
        path: path.to_owned(),
        expected: "[[signature]] with controller and signature (128 hexadecimal digits)",
    };
    let text = String::from_utf8(read(path)?).map_err(|_| wrong())?;
    let file: SignatureFile = toml::from_str(&text).map_err(|_| wrong())?;
    file.signature
        .into_iter()
        .map(|line| {
            let signature = hex::decode(&line.signature).ok_or_else(wrong)?;
            Ok((line.controller, signature))
        })
        .collect()
}

/// Writes a signature file.
///
/// # Errors
/// When it cannot be written.
pub fn write_signatures(path: &Path, file: &SignatureFile) -> Result<(), FileError> {
    let text = toml::to_string(file).map_err(|_| FileError::Form {
        path: path.to_owned(),
        expected: "names and signatures that TOML can hold",
    })?;
    std::fs::write(path, text).map_err(|source| io(path, source))
}

/// Reads a policies folder: every file with its path inside the folder, sorted.
///
/// # Errors
/// When a folder or file cannot be read, or there are too many.
pub fn policies(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, FileError> {
    let mut files = Vec::new();
    collect(folder, "", 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<(String, Vec<u8>)>,
) -> Result<(), FileError> {
    for entry in std::fs::read_dir(folder).map_err(|source| io(folder, source))? {
        let entry = entry.map_err(|source| io(folder, source))?;
        let path = entry.path();
        let wrong = |expected| FileError::Form {
            path: path.clone(),
            expected,
        };
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| wrong("a name in UTF-8"))?;
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            if depth == POLICY_DEPTH_MAX {
                return Err(wrong("a policies folder at most four folders deep"));
            }
            collect(&path, &format!("{name}/"), depth + 1, files)?;
        } else {
            if files.len() == POLICY_FILES_MAX {
                return Err(wrong("a policies folder of at most 1,000 files"));
            }
            files.push((name, read(&path)?));
        }
    }
    Ok(())
}

/// Reads a file that only its owner may read.
///
/// # Errors
/// When others may read it, or it cannot be read.
pub(crate) fn secret(path: &Path) -> Result<Secret<String>, FileError> {
    let details = std::fs::metadata(path).map_err(|source| io(path, source))?;
    if details.permissions().mode() & OTHERS_MASK != 0 {
        return Err(FileError::Open {
            path: path.to_owned(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(|source| io(path, source))?;
    Ok(Secret::new(text))
}

fn io(path: &Path, source: std::io::Error) -> FileError {
    FileError::Io {
        path: path.to_owned(),
        source,
    }
}
