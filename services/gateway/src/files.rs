//! Files that the configuration names: keys, signatures and the policies folder.
//!
//! Must never print what is in a key file, and never take a key file that others may read.

use rules::hex;
use rules::secret::Secret;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use toml::de::{DeTable, DeValue};
use vault::keyfile::{KeyFile, KeyFileError, Role};
use vault::sign::{Signature, SigningKey};

/// Only the owner reads and writes.
const SECRET_MODE: u32 = 0o600;
/// The bits that a secret file must not have.
const OTHERS_MASK: u32 = 0o077;
/// The bits that a secret file of root must not have, which a group of the process may read.
const ROOT_OTHERS_MASK: u32 = 0o037;
/// What the names begin with that a mount of Kubernetes keeps for itself: each file is there twice more below them.
const OF_THE_MOUNT: &str = "..";
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
    #[error(
        "`{}` may be read by others than its owner; run chmod 600 on it, or have it belong to root, with mode 0440 \
         and a group of this process",
        path.display()
    )]
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
    /// It is not TOML, or not of the form that it must have.
    #[error("{}:{line}: {message}", path.display())]
    Toml {
        /// Which.
        path: PathBuf,
        /// In which line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
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

/// In which line of a TOML text a fault is, from 1, and what it is, with the key that it is about.
pub(crate) fn toml_fault(text: &str, error: &toml::de::Error) -> (usize, String) {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count();
    let key = text.lines().nth(line).and_then(|line| line.split_once('='));
    let message = match (error.message(), key) {
        ("duplicate key", Some((key, _))) => format!("duplicate key `{}`", key.trim()),
        (message, Some((key, _))) => format!("`{}`: {message}", key.trim()),
        (message, None) => message.to_owned(),
    };
    (line.saturating_add(1), message)
}

/// In which line of a TOML text a field stands, from 1, by its path (`tls.key`, `holders[1].oin`); of one that is not
/// there, the line of the table in which it is to stand. None for a field that is missing at the top.
pub(crate) fn toml_line(text: &str, field: &str) -> Option<usize> {
    let whole = DeTable::parse(text).ok()?.into_inner();
    let mut table = Some(&whole);
    let mut start = None;
    for step in field.split('.') {
        let (name, place) = match step.trim_end_matches(']').split_once('[') {
            Some((name, place)) => (name, place.parse::<usize>().ok()),
            None => (step, None),
        };
        let found = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name));
        let Some((key, value)) = found else { break };
        start = Some(key.span().start);
        let mut value = value;
        if let (DeValue::Array(items), Some(place)) = (value.get_ref(), place)
            && let Some(item) = items.get(place)
        {
            start = Some(item.span().start);
            value = item;
        }
        table = value.get_ref().as_table();
    }
    let before = text.get(..start?)?;
    Some(before.matches('\n').count().saturating_add(1))
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
    let file: SignatureFile = toml::from_str(&text).map_err(|error| {
        let (line, message) = toml_fault(&text, &error);
        FileError::Toml {
            path: path.to_owned(),
            line,
            message,
        }
    })?;
    file.signature
        .into_iter()
        .map(|line| {
            let signature = hex::decode(&line.signature).ok_or_else(wrong)?;
            Ok((line.controller, signature))
        })
        .collect()
}

/// Adds a controller's signature to a signature file, which is made when there is none, in the place of an earlier one by
/// the same controller.
///
/// # Errors
/// When the file is there and is none, or cannot be written.
pub fn add_signature(
    path: &Path,
    controller: &str,
    signature: &Signature,
) -> Result<(), FileError> {
    let present = if path.exists() {
        signatures(path)?
    } else {
        Vec::new()
    };
    let others = present.iter().filter(|(name, _)| name != controller);
    let mut lines: Vec<(&str, &[u8])> = others
        .map(|(name, signature)| (&**name, &**signature))
        .collect();
    lines.push((controller, signature.bytes()));
    let lines = lines
        .into_iter()
        .map(|(controller, signature)| SignatureLine {
            controller: controller.to_owned(),
            signature: hex::encode(signature),
        });
    let file = SignatureFile {
        signature: lines.collect(),
    };
    write_signatures(path, &file)
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

/// Reads a policies folder: every file with its path inside the folder, sorted. What a mount keeps for itself is passed
/// over.
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
        if name.starts_with(OF_THE_MOUNT) {
            continue;
        }
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
    check_private(path)?;
    let text = std::fs::read_to_string(path).map_err(|source| io(path, source))?;
    Ok(Secret::new(text))
}

/// That only its owner may read a file, or, where root owns it, the process's own group.
///
/// # Errors
/// When others may read it, or it is not there.
pub(crate) fn check_private(path: &Path) -> Result<(), FileError> {
    let details = std::fs::metadata(path).map_err(|source| io(path, source))?;
    if is_private(details.mode(), details.uid(), details.gid()) {
        Ok(())
    } else {
        Err(FileError::Open {
            path: path.to_owned(),
        })
    }
}

/// Whether a file of this mode, owner and group can be read by its owner alone; a file of root also by a group of this
/// process, which root put it in for that (the Secret volumes of Kubernetes know no other way).
fn is_private(mode: u32, owner: u32, group: u32) -> bool {
    use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
    if mode & OTHERS_MASK == 0 {
        return true;
    }
    let is_of_another_root = Uid::from_raw(owner).is_root() && !geteuid().is_root();
    let group = Gid::from_raw(group);
    let is_own = || getegid() == group || getgroups().is_ok_and(|groups| groups.contains(&group));
    mode & ROOT_OTHERS_MASK == 0 && is_of_another_root && is_own()
}

fn io(path: &Path, source: std::io::Error) -> FileError {
    FileError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_toml(text: &str, expected: (usize, &str)) {
        let error = text.parse::<toml::Table>().expect_err("a fault");
        let (line, message) = toml_fault(text, &error);
        assert_eq!(line, expected.0, "{message}");
        assert!(message.starts_with(expected.1), "{message}");
    }

    #[test]
    fn a_fault_in_a_file_has_its_line_and_its_key() {
        check_toml(
            "a = 1\n\nlisten = 2\nlisten = 3\n",
            (4, "duplicate key `listen`"),
        );
        check_toml("a = 1\nprofile = \"sand\nb = 2\n", (2, "`profile`: "));
        check_toml("a = 1\n[tls\nkey = 2\n", (2, ""));
        check_toml("a = 1\n[tls]\n[tls]\n", (3, ""));
        check_toml("a = \n", (1, "`a`: "));
    }

    #[test]
    fn a_field_has_its_line_and_a_missing_one_that_of_its_table() {
        let text = "a = 1\n\n[tls]\nkey = 2\n\n[[holders]]\noin = 1\n[[holders]]\noin = 2\n";
        for (field, line) in [
            ("a", Some(1)),
            ("b", None),
            ("tls", Some(3)),
            ("tls.key", Some(4)),
            ("tls.issuer", Some(3)),
            ("holders[0].oin", Some(7)),
            ("holders[1].oin", Some(9)),
            ("holders[1].address", Some(8)),
            ("holders[1]", Some(8)),
        ] {
            assert_eq!(toml_line(text, field), line, "{field}");
        }
    }

    #[test]
    fn a_secret_of_root_may_be_read_by_a_group_of_the_process() {
        let (own, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let (own, group) = (own.as_raw(), group.as_raw());
        for mode in [0o100_600, 0o100_400] {
            assert!(is_private(mode, own, group) && is_private(mode, 0, group));
        }
        for mode in [0o644, 0o640, 0o604, 0o440] {
            assert!(!is_private(mode, own, group), "an own file: {mode:o}");
        }
        // Root reads what it likes: for it nothing needs to be open.
        let is_root = own == 0;
        for mode in [0o440, 0o640] {
            assert_eq!(is_private(mode, 0, group), !is_root, "{mode:o}");
            assert!(!is_private(mode, 0, u32::MAX - 7), "a group of others");
        }
        for mode in [0o444, 0o460, 0o644, 0o660] {
            assert!(!is_private(mode, 0, group), "{mode:o}");
        }
    }
}
