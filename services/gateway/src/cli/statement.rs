//! A consent statement as something to keep: a file, and not two kilobytes on the screen.
//!
//! Must never write over another statement, and never let anybody but its owner read one: the stop code stands on it.

use crate::files::{FileError, write_secret};
use rules::hex;
use rules::secret::Secret;
use std::path::{Path, PathBuf};
use vault::digest::sha256;

/// The folder in the sandbox in which statements are kept.
const FOLDER: &str = "statements";
/// Octets of a statement's digest in its file's name: each version of a record has a file of its own.
const DIGEST_BYTES: usize = 4;

/// Where a statement lies now, or why it lies nowhere.
pub(crate) struct Kept(Result<PathBuf, (FileError, String)>);

/// Writes a statement of this record into its file.
pub(crate) fn keep(sandbox: &Path, record: &str, statement: &str) -> Kept {
    let digest = hex::encode(&sha256(statement.as_bytes()));
    let short = digest.get(..2 * DIGEST_BYTES).unwrap_or(&digest);
    let path = sandbox.join(FOLDER).join(format!("{record}-{short}.jws"));
    let written = write(&path, statement);
    Kept(match written {
        Ok(()) | Err(FileError::There { .. }) => Ok(path),
        Err(error) => Err((error, statement.to_owned())),
    })
}

fn write(path: &Path, statement: &str) -> Result<(), FileError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| FileError::Io {
            path: folder.to_owned(),
            source,
        })?;
    }
    write_secret(path, &Secret::new(statement.to_owned()))
}

impl Kept {
    /// For people: the path; the statement itself where there is no file, because the choice has been made.
    pub(crate) fn text(&self) -> String {
        match &self.0 {
            Ok(path) => format!("the statement to keep is in {}", path.display()),
            Err((error, statement)) => {
                format!("{error}; keep this, it is the statement:\n{statement}")
            }
        }
    }

    /// For programs: the path, or nothing.
    pub(crate) fn path(&self) -> Option<String> {
        let path = self.0.as_ref().ok()?;
        Some(path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A folder of this process and this test alone.
    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("sluis-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_statement_has_a_file_of_its_own_that_nobody_else_reads() {
        let folder = folder("statements");
        let first = keep(&folder, "cns_1", "one").path().unwrap();
        let second = keep(&folder, "cns_1", "two").path().unwrap();
        assert_ne!(first, second);
        assert_eq!(keep(&folder, "cns_1", "one").path().unwrap(), first);
        assert_eq!(std::fs::read_to_string(&first).unwrap(), "one");
        let mode = std::fs::metadata(&first).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_statement_that_has_no_file_is_shown() {
        let file = folder("no-folder");
        std::fs::write(&file, "").unwrap();
        let kept = keep(&file, "cns_1", "the words");
        assert_eq!(kept.path(), None);
        assert!(kept.text().contains("the words"), "{}", kept.text());
        std::fs::remove_file(file).unwrap();
    }
}
